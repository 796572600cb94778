"""Recovery of events: lists what Stripe has made and publishes it again, as the ingest would have.

Stripe is asked for all events: `delivery_success=false` cannot show one that was acknowledged and then lost. Repeats
are harmless, since the consumers' inboxes know them. Stripe lists the newest first, so an interrupted run goes on
after the last event that it has settled: everything newer is with the broker, everything older is still to come.
"""

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import orjson
import stripe
from events.errors import PublishUnconfirmedError
from events.messaging.event import Event
from events.messaging.publisher import Publisher
from events.web.problems import Problem

from webhooks.verification import enveloped

if TYPE_CHECKING:
    from stripe.params import EventListParams

LISTED_FOR = timedelta(days=30)  # Stripe lists no older events
MAX_TYPES = 20  # Stripe's limit for a listing
PAGE = 100  # the most that Stripe puts on one
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds until an unconfirmed event is tried again; a broker restarts in less


def within_reach(since: datetime) -> datetime:
    """`since`, or as far back as Stripe lists events."""
    return max(since, (datetime.now(UTC) - LISTED_FOR).replace(microsecond=0))


@dataclass
class Report:
    """What became of the events so far. `settled` is the last one that need not be looked at again."""

    settled: str | None = None
    listed: int = 0
    published: int = 0
    skipped_livemode: int = 0
    malformed: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)


class StripeEvents:
    """Stripe's list of events, newest first, each exactly as Stripe returns it."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._events = client.v1.events

    def since(self, since: datetime, types: Sequence[str], starting_after: str | None) -> Iterator[dict[str, Any]]:
        params: EventListParams = {"created": {"gte": int(since.timestamp())}, "limit": PAGE}
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
    """Publishes events at most `rate` a second; without a publisher it only counts them.

    `livemode`: events of Stripe's other mode belong to another installation and are left out.
    """

    def __init__(self, publisher: Publisher | None, report: Report, *, livemode: bool, rate: float) -> None:
        self._publisher, self._report, self._livemode = publisher, report, livemode
        self._interval, self._next = 1 / rate, 0.0

    def settle(self, document: dict[str, Any]) -> None:
        """Publish one event, or note why not. Raises `Unpublished` when the broker confirms it at no try."""
        report = self._report
        report.listed += 1
        report.types[str(document.get("type"))] += 1
        try:
            event = enveloped(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        except Problem:
            report.malformed.append(str(document.get("id")))
        else:
            self._hand_over(event)
        report.settled = document.get("id")

    def _hand_over(self, event: Event) -> None:
        if event.headers["livemode"] is not self._livemode:
            self._report.skipped_livemode += 1
        elif self._publisher is not None:
            self._keep_pace()
            publish(self._publisher, event)
            self._report.published += 1

    def _keep_pace(self) -> None:
        now = monotonic()
        if self._next > now:
            sleep(self._next - now)
        self._next = max(self._next, now) + self._interval


def publish(publisher: Publisher, event: Event) -> None:
    """Until the broker has confirmed it; raises `Unpublished` after the last try."""
    for pause in BACKOFF:
        try:
            return publisher.wait(publisher.publish(event))
        except PublishUnconfirmedError:
            sleep(pause)
    return publisher.wait(publisher.publish(event))


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, with `KeyboardInterrupt`: a scheduler's stop leaves its report too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
