"""What becomes of a delivered event: the outcomes of the inbox, one transaction for the happy path.

Several waiting messages share one transaction. When one of them does not simply succeed, everything is rolled back and
tried again with a savepoint around each, so that what fails is undone and stored alone; should even that fail, they are
taken one by one. So a failing message never hurts its neighbours, and early or strange ones do not cost a batch its
speed.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from sqlalchemy.orm import Session

from events import batch, inbox, tracing
from events.database import Database, is_away, is_conflict, utcnow
from events.envelope import Event
from events.errors import Ignored, NotYet, Undecodable
from events.handlers import NO_HANDLER, Handlers
from events.inbox import InboxEvent
from events.telemetry import get_logger

SEEN = "seen"
Outcomes = dict[str, str]  # by event id

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
        if len(events) > 1 and (self._in_batch(self._together, events) or self._in_batch(self._apart, events)):
            return
        for event in events:
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
        except Exception as error:
            if is_away(error):
                raise
            if not isinstance(error, NotYet):
                log.exception("handler failed", event_id=event.id, routing_key=event.routing_key)
            outcome = self._put_off(event, _status_after(error), error)
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
        try:
            self._retry_together(taken)
        except Exception as error:
            if is_away(error):
                raise
            if len(taken) == 1:
                self._put_off_again(taken[0], error)
            else:
                for row in taken:
                    self._retry_taken([row])

    def _retry_together(self, taken: Sequence[inbox.InboxEvent]) -> None:
        outcomes: list[tuple[Event, str]] = []
        with self._database.begin() as session:
            # What the handlers need is locked before the inbox's rows, as by those whose events wake these.
            self._handlers.ready([row.event() for row in inbox.read(session, taken)], session)
            rows = [(row, row.event()) for row in inbox.hold(session, taken)]
            for row, event in rows:
                outcomes.append((event, self._retry(session, row, event)))
            if done := [event.id for event, outcome in outcomes if outcome == inbox.DONE]:
                inbox.mark_done(session, done)
        for event, outcome in outcomes:
            self._count(event, outcome)

    def _put_off_again(self, taken: inbox.InboxEvent, error: Exception) -> None:
        """What fails outside its handler: what was prepared for it, or its commit."""
        log.error("event cannot be tried", event_id=taken.event_id, exc_info=error)
        with self._database.begin() as session:
            for row in inbox.hold(session, [taken]):
                row.put_off(_status_after(error), error)

    def _in_batch(self, way: "Callable[[Session, Sequence[Event]], Outcomes]", events: Sequence[Event]) -> bool:
        """All in one transaction; False where it had to be rolled back."""
        try:
            with self._database.begin() as session:
                fresh = inbox.claim_new(session, events)
                once = {event.id: event for event in events if event.id in fresh}
                # By checkout: transactions that lock the same checkouts' rows take them in the same order.
                new = sorted(once.values(), key=lambda event: event.correlation_id or "")
                unknown = [event for event in new if not self._handlers.knows(event)]
                if unknown:
                    inbox.mark_ignored(session, [event.id for event in unknown], NO_HANDLER)
                known = [event for event in new if self._handlers.knows(event)]
                self._handlers.ready(known, session)
                outcomes = way(session, known)
        except Exception as error:
            if is_away(error):
                raise
            if is_conflict(error):
                log.warning("a batch was in another transaction's way", events=len(events), error=str(error))
            return False  # what fails does so again with the events apart, or alone, and is named then
        for event in events:
            self._count(event, SEEN if event.id not in fresh else outcomes.get(event.id, inbox.IGNORED))
        return True

    def _together(self, session: Session, events: Sequence[Event]) -> Outcomes:
        """Nothing between the events: if one does not simply succeed, it raises."""
        for event in events:
            self._run(event, session)
        return dict.fromkeys((event.id for event in events), inbox.DONE)

    def _apart(self, session: Session, events: Sequence[Event]) -> Outcomes:
        """Each in a savepoint, so that what fails is undone and stored alone."""
        return {event.id: self._kept(session, event, self._attempt(session, event)) for event in events}

    def _attempt(self, session: Session, event: Event) -> Exception | None:
        """What the handler raised, and then all that it did is undone. Raises what concerns the whole transaction."""
        try:
            with batch.savepoint(session):
                self._run(event, session)
        except Exception as error:
            if is_away(error) or is_conflict(error):
                raise
            return error
        return None

    def _kept(self, session: Session, event: Event, error: Exception | None) -> str:
        """The outcome of an event that is claimed as done; stored, if it is not."""
        if isinstance(error, Undecodable):
            raise error
        if isinstance(error, Ignored):
            inbox.mark_ignored(session, [event.id], str(error))
            return inbox.IGNORED
        if error is None:
            return inbox.DONE
        if not isinstance(error, NotYet):
            log.error("handler failed", event_id=event.id, routing_key=event.routing_key, exc_info=error)
        inbox.unclaim(session, event)
        return inbox.store_unhandled(session, event, _status_after(error), error)

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
        error = self._attempt(session, event)
        if error is None:
            return inbox.DONE
        if isinstance(error, Ignored):
            row.finish(inbox.IGNORED, str(error))
            return row.status
        if not isinstance(error, NotYet):
            log.error("handler failed again", event_id=event.id, attempts=row.attempts, exc_info=error)
        row.put_off(_status_after(error), error)
        return row.status

    def _count(self, event: Event, outcome: str) -> None:
        HANDLED.labels(event.routing_key, outcome).inc()
        if outcome == inbox.DONE:
            LAG.observe(max(0.0, (datetime.now(UTC) - event.occurred_at).total_seconds()))


def _status_after(error: Exception) -> str:
    return inbox.WAITING if isinstance(error, NotYet) else inbox.RETRYING
