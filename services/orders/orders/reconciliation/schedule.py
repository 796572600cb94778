"""The scheduled reconciliation: each object at Stripe is compared twice, and what differs until it no longer does.

A run begins at the watermark that its database keeps, less an overlap. It compares the time since then in slices, the
oldest first, and moves the watermark after each. With every slice it compares the one that is `SESSION_LIFE` older:

| time | compared | finds |
|---|---|---|
| minutes after its creation | early | what was lost since the last run |
| 25 hours later | late | sessions that were paid, or ended, long after they were created |

An object with a difference is kept in `open_differences`, and each run compares it again. So the metric shows a
difference until it is gone, and whether a repair has worked. A crash at any line repeats a slice.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import insert_once
from events.observability.logging import get_logger
from prometheus_client import Gauge
from sqlalchemy import delete, func, select

from orders.models.reconciliation import JobWatermark, OpenDifference
from orders.reconciliation.difference import About, Difference
from orders.reconciliation.run import MIN_CHANGE_AGE, Reconciliation, Seen
from orders.reconciliation.stripe import StripeRecords

JOB = "reconcile"
OVERLAP = timedelta(minutes=10)  # compared again by the next run: Stripe's lists may show an object late
SESSION_LIFE = timedelta(hours=25)  # a session ends after 24 hours at the latest; one more for its last webhook
FIRST_WINDOW = SESSION_LIFE  # of the first run: its early and its late pass leave no gap
FIRST_SLICE = timedelta(minutes=5)  # before the density of sessions is known
MAX_SLICE = timedelta(hours=6)
SESSIONS_PER_SLICE = 2_000  # 20 pages: a failed slice is compared again, and its intents are held in memory
MAX_GROWTH = 4.0  # of a slice, against a quiet night that is followed by a busy morning

MAX_ID_LENGTH = 255  # characters in the columns; metadata of other applications can be longer

DIFFERENCES = Gauge("clozit_reconcile_differences", "Differences that the last run found and did not repair")

log = get_logger(__name__)


class ScheduledReconciliation:
    """The comparison of everything since the last run. `compared` counts the sessions of this run."""

    def __init__(self, database: Database, stripe: StripeRecords, *, repair: bool) -> None:
        self._database, self._stripe, self._repair = database, stripe, repair
        self._seen = Seen()
        self.compared = 0

    def run(self, stop: threading.Event) -> bool:
        """Compare everything since the watermark, and all objects with open differences. Return False if stopped.

        Raises `stripe.StripeError` if a call to Stripe fails. What was compared before stays recorded.
        """
        for about, about_id in self._open_subjects():
            if stop.is_set():
                return False
            self._compare_again(about, about_id)
        until = (utcnow() - MIN_CHANGE_AGE).replace(microsecond=0)
        width, start = FIRST_SLICE, self._start(until)
        while start < until:
            if stop.is_set():
                return False
            end, compared = min(start + width, until), self.compared
            self._compare(start - SESSION_LIFE, end - SESSION_LIFE)
            self._compare(start, None if end == until else end)
            self._advance(end)
            factor = SESSIONS_PER_SLICE / max(self.compared - compared, 1)
            start, width = end, min(MAX_SLICE, width * max(1 / MAX_GROWTH, min(MAX_GROWTH, factor)))
        self._advance(until, succeeded=True)
        return True

    def last_success(self) -> datetime | None:
        """Return the end of the last successful run, and show the differences that are open since then."""
        DIFFERENCES.set(self.count_open())
        with self._database.read() as session:
            return session.scalar(select(JobWatermark.succeeded_at).where(JobWatermark.job_name == JOB))

    def count_open(self) -> int:
        """Return the number of open differences without a repair."""
        statement = select(func.count()).where(OpenDifference.repaired_by.is_(None))
        with self._database.read() as session:
            return session.scalar(statement) or 0

    def _start(self, until: datetime) -> datetime:
        """Return where the run begins. A watermark in the future was written by a wrong clock, and is not used."""
        with self._database.read() as session:
            reached = session.scalar(select(JobWatermark.reached_at).where(JobWatermark.job_name == JOB))
        if reached is None or reached > until + OVERLAP:
            return until - FIRST_WINDOW
        return min(reached, until) - OVERLAP

    def _compare(self, since: datetime, before: datetime | None) -> None:
        slice_ = Reconciliation(self._database, self._stripe, since, before, self._seen)
        self._record(self._repaired(slice_, slice_.differences()))
        self.compared += slice_.compared

    def _compare_again(self, about: About, about_id: str) -> None:
        again = Reconciliation(self._database, self._stripe, utcnow())
        found = list(self._repaired(again, again.compare_again(about, about_id)))
        with self._database.begin() as session:
            kinds = [difference.kind for difference in found if difference.subject == (about, about_id)]
            gone = delete(OpenDifference).where(OpenDifference.about_id == about_id, OpenDifference.kind.not_in(kinds))
            session.execute(gone)
        self._record(found)

    def _repaired(self, run: Reconciliation, differences: Iterable[Difference]) -> Iterator[Difference]:
        for difference in differences:
            result = run.repair(difference) if self._repair else difference
            (log.info if result.repaired_by else log.warning)("difference from stripe", **asdict(result))
            yield result

    def _record(self, differences: Iterable[Difference]) -> None:
        """Store differences one by one: what is repaired must be compared again, even if this process dies."""
        for difference in differences:
            about, about_id = difference.subject
            key = {"about_id": about_id, "kind": difference.kind}
            values = {"about": about, "checkout_id": difference.checkout_id[:MAX_ID_LENGTH], "found_at": utcnow()}
            with self._database.begin() as session:
                insert_once(session, OpenDifference, **key, **values, repaired_by=difference.repaired_by)
                session.get_one(OpenDifference, key).repaired_by = difference.repaired_by
        DIFFERENCES.set(self.count_open())

    def _open_subjects(self) -> list[tuple[About, str]]:
        statement = select(OpenDifference.about, OpenDifference.about_id).distinct()
        with self._database.read() as session:
            return [(About(about), about_id) for about, about_id in session.execute(statement)]

    def _advance(self, reached: datetime, *, succeeded: bool = False) -> None:
        with self._database.begin() as session:
            insert_once(session, JobWatermark, job_name=JOB, reached_at=reached, succeeded_at=None)
            watermark = session.get_one(JobWatermark, JOB)
            watermark.reached_at = reached
            if succeeded:
                watermark.succeeded_at = utcnow()
