"""Metrics of e-mails that should have been sent already: their number and the age of the oldest, by reason."""

from collections.abc import Iterable
from datetime import datetime

from events.clock import utcnow
from events.database.engine import Database
from events.observability.backlog_metrics import age_s, unknown
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from notifications.kinds import PROMOTIONAL_KINDS
from notifications.models import Email
from notifications.outcomes import AWAY, BLOCKED

# away: the server does not answer; blocked: it refuses us; deferred: it wants this e-mail later; due: not tried yet.
REASONS = ("away", "blocked", "deferred", "due")


class EmailBacklog(Collector):
    """A Prometheus collector of e-mails that are due, or that wait for another attempt after an error.

    Reminders are left out, because no customer expects them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics without values, so that registering them needs no database."""
        return self._families()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metrics by reason; none while the database is away or too busy."""
        reason = case(
            (Email.error.startswith(AWAY), "away"),
            (Email.error.startswith(BLOCKED), "blocked"),
            (Email.error.is_not(None), "deferred"),
            else_="due",
        ).label("reason")
        waiting = (
            select(reason, func.count(), func.min(Email.created_at))
            .where(
                Email.next_attempt_at.is_not(None),  # pending or sending
                Email.kind.not_in(PROMOTIONAL_KINDS),
                or_(Email.next_attempt_at <= utcnow(), and_(Email.attempts > 0, Email.error.is_not(None))),
            )
            .group_by(reason)
        )
        found: dict[str, tuple[int, datetime | None]] = dict.fromkeys(REASONS, (0, None))
        try:
            with self._database.read() as session:
                found |= {name: (count, oldest) for name, count, oldest in session.execute(waiting)}
        except (DBAPIError, PoolTimeoutError) as error:
            return unknown(error)
        rows, ages = self._families()
        for name, (count, oldest) in found.items():
            rows.add_metric([name], count)
            ages.add_metric([name], age_s(oldest))
        return [rows, ages]

    def _families(self) -> list[GaugeMetricFamily]:
        return [
            GaugeMetricFamily("clozit_emails_waiting", "E-mails that are due or deferred", labels=["reason"]),
            GaugeMetricFamily(
                "clozit_emails_waiting_oldest_age_seconds", "Age of the oldest of these e-mails", labels=["reason"]
            ),
        ]
