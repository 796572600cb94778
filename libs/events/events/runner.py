"""What becomes of a delivered event: the outcomes of the inbox, one transaction for the happy path.

Several waiting messages share one transaction. When one of them does not simply succeed, everything is rolled back,
that one is taken alone and the others are tried together again; after a few such rounds they are taken one by one. So
a failing message never hurts its neighbours, and a single stranger does not cost a batch its speed.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from sqlalchemy.orm import Session

from events import batch, inbox, tracing
from events.database import Database, is_away, utcnow
from events.envelope import Event
from events.errors import Ignored, NotYet, Undecodable
from events.handlers import NO_HANDLER, Handlers
from events.inbox import InboxEvent
from events.telemetry import get_logger

SEEN = "seen"
ROUNDS = 4  # transactions that a batch is tried in, each without the event that the one before failed at

HANDLED = Counter("clozit_events_handled_total", "Events by what became of them", ["routing_key", "outcome"])
HANDLING = Histogram("clozit_handling_seconds", "Time in an event's handler, its commit aside", ["routing_key"])
LAG = Histogram(
    "clozit_event_lag_seconds",
    "From when the event happened to its committed effect",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)

log = get_logger(__name__)


class Runner:
    """Runs a service's handlers against its database. Raises `Undecodable`, and a database's absence, to its caller."""

    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self._handlers = handlers

    def handle(self, events: Sequence[Event]) -> None:
        """Bring about the effect of each event, or store why not yet. After it returns, all may be acknowledged."""
        rest = list(events)
        for _ in range(ROUNDS):
            if len(rest) < 2:
                break
            troubled = self._together(rest)
            if troubled is None:
                return
            self.handle_one(troubled)
            rest = [event for event in rest if event.id != troubled.id]
        for event in rest:
            self.handle_one(event)

    def handle_one(self, event: Event) -> str:
        """One event in its own transaction; its outcome."""
        try:
            outcome = self._fresh(event)
        except Undecodable:
            raise
        except Ignored as ignored:
            reason = str(ignored)
            outcome = self._record(lambda session: self._ignore(session, event, reason))
        except NotYet as cause:
            outcome = self._put_off(event, inbox.WAITING, cause)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("handler failed", event_id=event.id, routing_key=event.routing_key)
            outcome = self._put_off(event, inbox.RETRYING, error)
        self._count(event, outcome)
        return outcome

    def retry_due(self, now: datetime | None = None) -> int:
        """Try again every stored event that is due; how many were tried."""
        tried = 0
        while count := self.retry_batch(now):
            tried += count
        return tried

    def retry_batch(self, now: datetime | None = None) -> int:
        """Try again those that have been due longest; how many were claimed.

        The attempt is counted in a transaction before: an event whose handler kills the process would be claimed for
        ever otherwise. Then all share one transaction, each in a savepoint, so that none hurts its neighbours.
        """
        with self._database.begin() as session:
            taken = inbox.claim_due(session, now or utcnow())
        if not taken:
            return 0
        for row in taken:
            if row.status == inbox.FAILED:
                log.error("gave up an event that its worker never survived", event_id=row.event_id)
        self._retry_taken(taken)
        return len(taken)

    def _retry_taken(self, taken: Sequence[inbox.InboxEvent]) -> None:
        outcomes: list[tuple[Event, str]] = []
        with self._database.begin() as session:
            rows = [(row, row.event()) for row in inbox.hold(session, taken)]
            self._handlers.ready([event for _, event in rows], session)
            for row, event in rows:
                outcomes.append((event, self._retry(session, row, event)))
            if done := [event.id for event, outcome in outcomes if outcome == inbox.DONE]:
                inbox.mark_done(session, done)
        for event, outcome in outcomes:
            self._count(event, outcome)

    def _together(self, events: Sequence[Event]) -> Event | None:
        """All in one transaction; the event at which it had to be rolled back, if it had to be."""
        current = events[0]
        try:
            with self._database.begin() as session:
                new = inbox.claim_new(session, events)
                fresh = {event.id: event for event in events if event.id in new}
                unknown = [event.id for event in fresh.values() if not self._handlers.knows(event)]
                if unknown:
                    inbox.mark_ignored(session, unknown, NO_HANDLER)
                known = [event for event in fresh.values() if self._handlers.knows(event)]
                self._handlers.ready(known, session)
                # By checkout: transactions that lock the same checkouts' rows take them in the same order.
                for current in sorted(known, key=lambda event: event.correlation_id or ""):
                    self._run(current, session)
        except Exception as error:
            if is_away(error):
                raise
            return current  # it will fail again alone, and be named
        for event in events:
            outcome = SEEN if event.id not in new else inbox.IGNORED if event.id in unknown else inbox.DONE
            self._count(event, outcome)
        return None

    def _fresh(self, event: Event) -> str:
        with self._database.begin() as session:
            if not inbox.claim_new(session, [event]):
                return SEEN
            self._handlers.ready([event] if self._handlers.knows(event) else [], session)
            self._run(event, session)
        return inbox.DONE

    def _run(self, event: Event, session: Session) -> None:
        parent = event.headers.get(tracing.HEADER)
        about = {"messaging.message.id": event.id, "clozit.checkout_id": event.correlation_id}
        with (
            HANDLING.labels(event.routing_key).time(),
            tracing.span(f"handle {event.routing_key}", SpanKind.CONSUMER, about, parent=parent),
        ):
            self._handlers.run(event, session)
            if self._handlers.unblocks(event) and event.correlation_id:
                batch.gather(session, inbox.wake, event.correlation_id)

    def _ignore(self, session: Session, event: Event, reason: str) -> str:
        if not inbox.claim_new(session, [event]):
            return SEEN
        inbox.mark_ignored(session, [event.id], reason)
        return inbox.IGNORED

    def _put_off(self, event: Event, status: str, error: Exception) -> str:
        return self._record(lambda session: inbox.store_unhandled(session, event, status, error))

    def _record(self, write: Callable[[Session], str]) -> str:
        with self._database.begin() as session:
            return write(session)

    def _retry(self, session: Session, row: InboxEvent, event: Event) -> str:
        try:
            with batch.savepoint(session):
                self._run(event, session)
        except Ignored as reason:
            row.finish(inbox.IGNORED, str(reason))
        except NotYet as reason:
            row.put_off(inbox.WAITING, reason)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("handler failed again", event_id=event.id, attempts=row.attempts)
            row.put_off(inbox.RETRYING, error)
        else:
            return inbox.DONE
        return row.status

    def _count(self, event: Event, outcome: str) -> None:
        HANDLED.labels(event.routing_key, outcome).inc()
        if outcome == inbox.DONE:
            LAG.observe(max(0.0, (datetime.now(UTC) - event.occurred_at).total_seconds()))
