"""The backfill: lists Stripe's events and publishes them again, as the ingest would.

It lists the types that a service handles, whether or not their delivery succeeded: `delivery_success=false` cannot show
an event that was acknowledged and then lost. Duplicates are harmless, because the consumers' inboxes remove them.

A run covers a window of time in slices, the oldest first. Several slices are listed at once, because Stripe needs a
call for every 100 events and lists only backwards. `Backfill.run` yields the end of each slice once all events before
it are published. So an interrupted run can continue there, however it ended.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count, islice
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import orjson
import stripe
from events.clock import utcnow
from events.errors import PublishUnconfirmedError, UnpublishableError
from events.messaging.background import Background
from events.messaging.event import Event
from events.messaging.pika_connection import encode
from events.messaging.publisher import Publisher
from events.observability.logging import get_logger
from prometheus_client import Counter as Metric

from webhooks.errors import RejectedEventError
from webhooks.verification import parse_event

if TYPE_CHECKING:
    from stripe.params import EventListParams

STRIPE_RETENTION = timedelta(days=30)  # Stripe lists no older events
MAX_LISTED_TYPES = 20  # Stripe's limit for one list
PAGE_SIZE = 100  # events; Stripe's maximum
# At 0.3 s for a page: 27 pages and 2,700 events/s. It is half of the calls that a process may make at once.
PARALLEL_LISTS = 8
PUBLISH_BATCH = 25  # unconfirmed events of one list: all lists together just fill the publisher's window
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # after an unconfirmed publish; together longer than a broker's restart
LIMITED_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # after Stripe's 429: its limits are per second (25 calls in test mode)
EVENTS_PER_SLICE = 500  # five pages: a failed slice is listed again, and its watermark costs one message
FIRST_SLICE = timedelta(minutes=1)  # before the density of events is known
MAX_SLICE = timedelta(days=1)
MAX_GROWTH = 4.0  # of a slice, against a quiet night that is followed by a busy morning
UNPACED_RATE = 100.0  # events per second that a paced run may publish at any time: this disturbs no worker

PUBLISHED = Metric("clozit_backfill_published_total", "Events that the backfill has published")

log = get_logger(__name__)

Submit = Callable[[Callable[[], None]], "Future[None]"]


class StoppedError(Exception):
    """The run was asked to stop."""


@dataclass(frozen=True)
class Slice:
    """A part of the window. The last one has no upper limit: events of this second belong to it, too."""

    start: datetime
    end: datetime
    is_last: bool


@dataclass
class Report:
    """The counts of a run. All events before `reached` are published, unless this is a dry run."""

    reached: datetime | None = None
    listed: int = 0
    published: int = 0
    skipped_livemode: int = 0
    malformed: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)


def limit_to_retention(since: datetime) -> datetime:
    """Return `since`, or the oldest instant whose events Stripe lists, if that is later."""
    return max(since, (utcnow() - STRIPE_RETENTION).replace(microsecond=0))


class StripeEvents:
    """Stripe's list of events, each exactly as Stripe returns it. Safe for several threads."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._events = client.v1.events

    def pages(self, part: Slice, types: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield the events of a slice page by page, the newest first for each list of `MAX_LISTED_TYPES` types.

        Without `types`, yield all events. Raises `stripe.StripeError` if a call fails.
        """
        created = {"gte": int(part.start.timestamp())} | ({} if part.is_last else {"lt": int(part.end.timestamp())})
        for first in range(0, len(types) or 1, MAX_LISTED_TYPES):
            params: EventListParams = {"created": created, "limit": PAGE_SIZE}  # type: ignore[typeddict-item]
            if types:
                params["types"] = list(types[first : first + MAX_LISTED_TYPES])
            has_more = True
            while has_more:
                page, _ = self._list(params)
                yield page["data"]
                has_more = page["has_more"] and bool(page["data"])
                if has_more:
                    params["starting_after"] = page["data"][-1]["id"]

    def now(self) -> datetime:
        """Return the earlier time of Stripe's clock and ours. So a clock that is ahead skips no events."""
        _, sent_at = self._list({"limit": 1})
        try:
            return min(utcnow(), parsedate_to_datetime(sent_at).astimezone(UTC)) if sent_at else utcnow()
        except ValueError:
            return utcnow()

    def _list(self, params: "EventListParams") -> tuple[dict[str, Any], str | None]:
        """Return a page and the time at which Stripe sent it. Waits and tries again while Stripe limits the calls."""
        for delay in LIMITED_DELAYS_S:
            try:
                return self._list_once(params)
            except stripe.RateLimitError:
                log.warning("stripe limits our calls, the list is read again", pause_s=delay)
                sleep(delay)
        return self._list_once(params)

    def _list_once(self, params: "EventListParams") -> tuple[dict[str, Any], str | None]:
        response = self._events.list(params).last_response
        body = response.body if response else b"{}"  # the SDK's objects would rewrite decimals
        return orjson.loads(body), response.headers.get("Date") if response else None


class Lists:
    """Threads that list slices at the same time. They are daemons: a call that hangs does not keep the process."""

    def __init__(self) -> None:
        self._threads = [Background(f"list-{number}") for number in range(PARALLEL_LISTS)]
        self._turns = count()

    def submit(self, call: Callable[[], None]) -> "Future[None]":
        """Run a call on the thread whose turn it is."""
        return self._threads[next(self._turns) % len(self._threads)].submit(call)

    def close(self) -> None:
        """End the threads after their current call, without waiting for them."""
        for thread in self._threads:
            thread.close()


class Backfill:
    """A run that publishes the events of a window and counts them in `report`.

    Without a publisher, it only counts. `rate` limits the events per second. `submit` starts a call, as `Lists` does.
    Events of the other mode (`livemode`) are skipped: they belong to another installation.
    """

    def __init__(
        self,
        broker: Publisher | None,
        stripe_events: StripeEvents,
        report: Report,
        submit: Submit,
        *,
        livemode: bool,
        types: Sequence[str],
        rate: float | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._broker, self._stripe_events, self._report, self._submit = broker, stripe_events, report, submit
        self._livemode, self._types, self._rate, self._stop = livemode, types, rate, stop or threading.Event()
        self._lock = threading.Lock()
        self._next_at = 0.0

    def run(self, start: datetime, end: datetime, *, spread: timedelta | None = None) -> Iterator[datetime]:
        """Publish the events since `start`, and yield how far the run has come.

        `end` is now, or earlier: later events may or may not be published. With `spread`, the run takes about this
        time if it has much to publish, so that its events do not delay new ones. Raises `stripe.StripeError`,
        `PublishUnconfirmedError` or `StoppedError`.
        """
        window, width = end - start, FIRST_SLICE
        slices = list(islice(_cut(start, end, width), 1))
        while slices:
            began_at, listed, published = monotonic(), self._report.listed, self._report.published
            yield from self._publish_slices(slices)
            reached = slices[-1].end
            if spread is not None and reached < end:
                share = (reached - slices[0].start) / window
                pause_s = min(spread.total_seconds() * share, (self._report.published - published) / UNPACED_RATE)
                self._stop.wait(max(0.0, pause_s - (monotonic() - began_at)))
            width = _next_width(width, (self._report.listed - listed) / len(slices))
            slices = list(islice(_cut(reached, end, width), PARALLEL_LISTS))

    def _publish_slices(self, slices: Sequence[Slice]) -> Iterator[datetime]:
        """Publish slices at the same time, and yield the end of each in their order."""
        failed = threading.Event()
        futures = [self._submit(lambda part=part: self._publish_slice(part, failed)) for part in slices]  # type: ignore[misc]
        try:
            for part, future in zip(slices, futures, strict=True):
                future.result()
                self._report.reached = part.end
                yield part.end
        finally:
            failed.set()
            wait(futures)

    def _publish_slice(self, part: Slice, failed: threading.Event) -> None:
        for documents in self._stripe_events.pages(part, self._types):
            if self._stop.is_set() or failed.is_set():
                raise StoppedError
            self._publish([event for document in documents if (event := self._read(document))])

    def _read(self, document: dict[str, Any]) -> Event | None:
        """Return the event to publish. A malformed event or one of the other mode is only counted."""
        with self._lock:
            report = self._report
            report.listed += 1
            report.types[str(document.get("type"))] += 1
            try:
                event = parse_event(orjson.dumps(document, option=orjson.OPT_INDENT_2))
                encode(event)
            except (RejectedEventError, UnpublishableError):
                report.malformed.append(str(document.get("id")))
                return None
            if event.headers["livemode"] is not self._livemode:
                report.skipped_livemode += 1
                return None
        return event

    def _publish(self, events: Sequence[Event]) -> None:
        if self._broker is None:
            return
        for first in range(0, len(events), PUBLISH_BATCH):
            batch = events[first : first + PUBLISH_BATCH]
            self._wait_for_rate(len(batch))
            publish_with_retries(self._broker, *batch)
            PUBLISHED.inc(len(batch))
            with self._lock:
                self._report.published += len(batch)

    def _wait_for_rate(self, events: int) -> None:
        if self._rate is None:
            return
        with self._lock:
            now = monotonic()
            pause_s = max(0.0, self._next_at - now)
            self._next_at = max(self._next_at, now) + events / self._rate
        if pause_s:
            sleep(pause_s)


def publish_with_retries(broker: Publisher, *events: Event) -> None:
    """Publish until the broker confirms all events. Raises `PublishUnconfirmedError` after the last attempt."""
    for delay in RETRY_DELAYS_S:
        futures = [broker.publish(event) for event in events]
        try:
            return broker.wait(*futures)
        except PublishUnconfirmedError:
            events = tuple(event for event, future in zip(events, futures, strict=True) if not _is_confirmed(future))
            sleep(delay)
    return broker.wait(*[broker.publish(event) for event in events])


def _is_confirmed(future: "Future[None]") -> bool:
    return future.done() and future.exception() is None


def _cut(start: datetime, end: datetime, width: timedelta) -> Iterator[Slice]:
    """Yield the slices of a window."""
    while start < end:
        yield Slice(start, min(start + width, end), start + width >= end)
        start += width


def _next_width(width: timedelta, listed: float) -> timedelta:
    """Return the width of the next slices, so that each has about `EVENTS_PER_SLICE` events."""
    factor = max(1 / MAX_GROWTH, min(MAX_GROWTH, EVENTS_PER_SLICE / max(listed, 1.0)))
    seconds = int(width.total_seconds() * factor)
    return min(MAX_SLICE, timedelta(seconds=max(1, seconds)))
