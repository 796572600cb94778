"""The backfill: lists Stripe's events and publishes them again, as the ingest would.

It lists all events: `delivery_success=false` cannot show an event that was acknowledged and then lost. Duplicates are
harmless, because the consumers' inboxes remove them. Stripe lists the newest events first. So an interrupted run can
continue after its last processed event: everything newer is published, everything older is not.
"""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import orjson
import stripe
from events.clock import utcnow
from events.errors import PublishUnconfirmedError
from events.messaging.event import Event
from events.messaging.publisher import Publisher

from webhooks.errors import RejectedEventError
from webhooks.verification import parse_event

if TYPE_CHECKING:
    from stripe.params import EventListParams

STRIPE_RETENTION = timedelta(days=30)  # Stripe lists no older events
MAX_LISTED_TYPES = 20  # Stripe's limit for one list
PAGE_SIZE = 100  # events; Stripe's maximum
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # after an unconfirmed publish; together longer than a broker's restart


def limit_to_retention(since: datetime) -> datetime:
    """Return `since`, or the oldest instant whose events Stripe lists, if that is later."""
    return max(since, (utcnow() - STRIPE_RETENTION).replace(microsecond=0))


@dataclass
class Report:
    """The counts of a run. `resume_after` is the last processed event: a later run can continue after it."""

    resume_after: str | None = None
    listed: int = 0
    published: int = 0
    skipped_livemode: int = 0
    malformed: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)


class StripeEvents:
    """Stripe's list of events, the newest first, each exactly as Stripe returns it."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._events = client.v1.events

    def list_since(self, since: datetime, types: Sequence[str], starting_after: str | None) -> Iterator[dict[str, Any]]:
        """Yield the events since an instant, newest first.

        With `types`, yield only these types. With `starting_after`, yield only events older than the one with this id.
        """
        params: EventListParams = {"created": {"gte": int(since.timestamp())}, "limit": PAGE_SIZE}
        if types:
            params["types"] = list(types)
        has_more = True
        while has_more:
            if starting_after:
                params["starting_after"] = starting_after
            response = self._events.list(params).last_response
            page = orjson.loads(response.body if response else b"{}")  # the SDK's objects would rewrite decimals
            yield from page["data"]
            has_more = page["has_more"] and bool(page["data"])
            starting_after = page["data"][-1]["id"] if has_more else None


class Backfill:
    """A run that publishes at most `rate` events per second and counts them in `report`.

    Without a publisher, it only counts.
    Events of the other mode (`livemode`) are skipped: they belong to another installation.
    """

    def __init__(self, broker: Publisher | None, report: Report, *, livemode: bool, rate: float) -> None:
        self._broker, self._report, self._livemode = broker, report, livemode
        self._interval_s, self._next_at = 1 / rate, 0.0

    def process(self, document: dict[str, Any]) -> None:
        """Publish one event, unless this is a dry run. A malformed event or one of the other mode is only counted.

        Raises `PublishUnconfirmedError` after the last attempt.
        """
        report = self._report
        report.listed += 1
        report.types[str(document.get("type"))] += 1
        try:
            event = parse_event(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        except RejectedEventError:
            report.malformed.append(str(document.get("id")))
        else:
            self._publish_own(event)
        report.resume_after = document.get("id")

    def _publish_own(self, event: Event) -> None:
        if event.headers["livemode"] is not self._livemode:
            self._report.skipped_livemode += 1
        elif self._broker is not None:
            self._wait_for_rate()
            publish_with_retries(self._broker, event)
            self._report.published += 1

    def _wait_for_rate(self) -> None:
        now = monotonic()
        if self._next_at > now:
            sleep(self._next_at - now)
        self._next_at = max(self._next_at, now) + self._interval_s


def publish_with_retries(broker: Publisher, event: Event) -> None:
    """Publish until the broker confirms. Raises `PublishUnconfirmedError` after the last attempt."""
    for delay in RETRY_DELAYS_S:
        try:
            return broker.wait(broker.publish(event))
        except PublishUnconfirmedError:
            sleep(delay)
    return broker.wait(broker.publish(event))


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` in the block at SIGTERM, as at Ctrl-C: a stopped run prints its summary, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
