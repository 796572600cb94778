"""The runner: handles delivered events, each in the inbox transaction that makes it take effect exactly once.

    delivered ─▶ claimed in the inbox ─▶ handler ─▶ outbox rows ─▶ commit ─▶ acknowledged
                  │ duplicate: nothing     ├─ NotYet           ─▶ stored as waiting
                  ▼                        ├─ Ignored          ─▶ stored as ignored
                acknowledged               ├─ DecodeError, database away, row locked ─▶ raised, nothing stored
                                           └─ any other error  ─▶ stored as retrying, then failed

Several delivered events share one transaction. If one of their handlers raises, the transaction is rolled back and
run again with a savepoint around each event, so that only the failing event is undone and stored. If that fails too,
each event gets its own transaction. So a failing event cannot harm the others. Events without a handler raise nothing
in a shared transaction: they are stored with the others.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from sqlalchemy.orm import Session

from events.clock import utcnow
from events.database.engine import Database
from events.database.errors import is_away, is_conflict, is_unavailable
from events.database.transaction import before_commit, savepoint
from events.errors import DecodeError, Ignored, NoHandler, NotYet
from events.messaging import inbox
from events.messaging.event import Event
from events.messaging.handlers import NO_HANDLER, NOT_NEEDED, Handlers
from events.messaging.inbox import DUPLICATE
from events.messaging.inbox_models import DONE, FAILED, IGNORED, RETRYING, WAITING, InboxEvent
from events.observability import tracing
from events.observability.logging import get_logger

Outcomes = dict[str, str]  # by event id

HANDLED = Counter("clozit_events_handled_total", "Attempts to handle an event, by outcome", ["routing_key", "outcome"])
HANDLING = Histogram(
    "clozit_event_handling_duration_seconds", "Time in an event's handler, without its commit", ["routing_key"]
)
LAG = Histogram(
    "clozit_event_lag_seconds",
    "From when the event happened to its committed effect",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)

log = get_logger(__name__)


class Runner:
    """The runner of one service. It runs the handlers of events, and stores each outcome in the service's database.

    All methods raise the driver's error while the database is away. If another database session locks a row for too
    long, `handle` raises too, and a retry counts as a failed attempt.
    """

    def __init__(self, database: Database, handlers: Handlers) -> None:
        self._database = database
        self._handlers = handlers
        self._cut_short: list[InboxEvent] = []  # claimed, then the database went away

    def handle(self, events: Sequence[Event]) -> None:
        """Handle each event, or store it for a retry. Afterwards all of them can be acknowledged.

        Raises `DecodeError` if one cannot be read, and the driver's error while the database is away or a row is
        locked. Then acknowledge none. A repeated call leaves out the events that are already handled.
        """
        if len(events) > 1 and (
            self._in_one_transaction(self._run_batch, events)
            or self._in_one_transaction(self._run_in_savepoints, events)
        ):
            return
        for event in events:
            self.handle_one(event)

    def handle_one(self, event: Event, lock_timeout_s: float | None = None) -> str:
        """Handle one event in its own transaction, or store it, and return its outcome. Raises as `handle` does.

        `lock_timeout_s` replaces the database session's own lock timeout.
        """
        try:
            outcome = self._claim_and_run(event, lock_timeout_s)
        except DecodeError:
            raise
        except Ignored as ignored:
            reason = ignored
            outcome = self._write(lambda session: self._claim_as_ignored(session, event, reason), lock_timeout_s)
        except Exception as error:
            if is_unavailable(error):
                raise
            if not isinstance(error, NotYet):
                log.exception(
                    "handler failed, the event will be retried", event_id=event.id, routing_key=event.routing_key
                )
            failure = error
            outcome = self._write(
                lambda session: inbox.store_unhandled(session, event, _status_after(failure), failure), lock_timeout_s
            )
        self._count(event, outcome)
        return outcome

    def _claim_and_run(self, event: Event, lock_timeout_s: float | None) -> str:
        with self._database.begin(lock_timeout_s=lock_timeout_s) as session:
            if not inbox.claim_new(session, [event]):
                return DUPLICATE
            self._handlers.run_preparations([event] if self._handlers.has_handler(event) else [], session)
            self._run(event, session)
        return DONE

    def _claim_as_ignored(self, session: Session, event: Event, reason: Ignored) -> str:
        if not inbox.claim_new(session, [event]):
            return DUPLICATE
        if isinstance(reason, NoHandler):
            inbox.keep_unhandled(session, event, str(reason))
        else:
            inbox.mark_ignored(session, [event.id], str(reason))
        return IGNORED

    def _write(self, write: Callable[[Session], str], lock_timeout_s: float | None) -> str:
        with self._database.begin(lock_timeout_s=lock_timeout_s) as session:
            return write(session)

    def _in_one_transaction(
        self, run: "Callable[[Session, Sequence[Event]], Outcomes]", events: Sequence[Event]
    ) -> bool:
        """Handle all events in one transaction. Return False if it was rolled back.

        Raises if the database is away or a row is locked.
        """
        try:
            with self._database.begin() as session:
                fresh = inbox.claim_new(session, events)
                once = {event.id: event for event in events if event.id in fresh}
                # By checkout, so that transactions with the same checkouts lock their rows in the same order.
                new = sorted(once.values(), key=lambda event: event.correlation_id or "")
                known = [event for event in new if self._handlers.has_handler(event)]
                self._handlers.run_preparations(known, session)
                outcomes = run(session, known)
                self._ignore(session, [event for event in new if not self._handlers.has_handler(event)])
        except Exception as error:
            if is_unavailable(error):
                raise
            if is_conflict(error):
                log.warning(
                    "batch rolled back after a conflict with another transaction, its events are tried again",
                    events=len(events),
                    error=str(error),
                )
            return False  # the failing event fails again in its savepoint or transaction, and is logged there
        for event in events:  # the second delivery of an event in this batch is a duplicate, too
            self._count(event, outcomes.get(event.id, IGNORED) if once.pop(event.id, None) else DUPLICATE)
        return True

    def _ignore(self, session: Session, events: Sequence[Event]) -> None:
        """Set claimed events without a handler to ignored."""
        if not_needed := [event.id for event in events if not self._handlers.is_needed(event)]:
            inbox.mark_ignored(session, not_needed, NOT_NEEDED)
        for event in events:
            if self._handlers.is_needed(event):
                inbox.keep_unhandled(session, event, NO_HANDLER)

    def _run_batch(self, session: Session, events: Sequence[Event]) -> Outcomes:
        """Run all events without savepoints. Raises the error, `NotYet` or `Ignored` of the first that raises."""
        for event in events:
            self._run(event, session)
        return dict.fromkeys((event.id for event in events), DONE)

    def _run_in_savepoints(self, session: Session, events: Sequence[Event]) -> Outcomes:
        """Run each event in a savepoint, so that only the failing ones are undone and stored."""
        return {
            event.id: self._store_outcome(session, event, self._try_in_savepoint(session, event)) for event in events
        }

    def _try_in_savepoint(self, session: Session, event: Event) -> Exception | None:
        """Run the event in a savepoint. Return the handler's error after undoing its writes.

        Raises errors that concern the whole transaction.
        """
        try:
            with savepoint(session):
                self._run(event, session)
        except Exception as error:
            if is_unavailable(error) or is_conflict(error):
                raise
            return error
        return None

    def _store_outcome(self, session: Session, event: Event, error: Exception | None) -> str:
        """Return the outcome of an event that is claimed as done. Store any other outcome. Raises `DecodeError`."""
        if isinstance(error, DecodeError):
            raise error
        if isinstance(error, Ignored):
            inbox.mark_ignored(session, [event.id], str(error))
            return IGNORED
        if error is None:
            return DONE
        if not isinstance(error, NotYet):
            log.error(
                "handler failed, the event will be retried",
                event_id=event.id,
                routing_key=event.routing_key,
                exc_info=error,
            )
        inbox.release_claim(session, event)
        return inbox.store_unhandled(session, event, _status_after(error), error)

    def retry_due(self, now: datetime | None = None) -> int:
        """Retry stored events until none is due, and return the number of retries. Raises as `retry_batch` does."""
        tried = 0
        while count := self.retry_batch(now):
            tried += count
        return tried

    def retry_batch(self, now: datetime | None = None) -> int:
        """Retry the events that have been due longest and return the number of claimed ones.

        The attempt is counted in a transaction of its own before it is made: an event that kills the process would
        otherwise be claimed without end. Then all events share one transaction, each in a savepoint. Raises the
        driver's error while the database is away; `give_back` then makes the events due again.
        """
        with self._database.begin() as session:
            claimed = inbox.claim_due(session, now or utcnow())
        if not claimed:
            return 0
        for row in claimed:
            if row.status == FAILED:
                log.error(
                    "event failed: the worker stopped during its last attempts, retry or discard it",
                    event_id=row.event_id,
                )
        try:
            self._retry_claimed(claimed)
        except Exception:
            self._cut_short += claimed
            raise
        return len(claimed)

    def give_back(self) -> None:
        """Make claimed events due again whose retry the database cut short by going away. That attempt does not count.

        Raises the driver's error while the database is still away.
        """
        if not self._cut_short:
            return
        with self._database.begin() as session:
            inbox.give_back(session, self._cut_short)
        self._cut_short = []

    def _retry_claimed(self, claimed: Sequence[InboxEvent]) -> None:
        try:
            self._retry_in_savepoints(claimed)
        except Exception as error:
            if is_away(error):
                raise
            if len(claimed) == 1:
                self._reschedule(claimed[0], error)
            else:
                for row in claimed:
                    self._retry_claimed([row])

    def _retry_in_savepoints(self, claimed: Sequence[InboxEvent]) -> None:
        outcomes: list[tuple[Event, str]] = []
        with self._database.begin() as session:
            # Lock the handlers' rows before the inbox: events that wake waiting ones use the same order.
            self._handlers.run_preparations([row.event() for row in inbox.read_claimed(session, claimed)], session)
            rows = [(row, row.event()) for row in inbox.lock_claimed(session, claimed)]
            for row, event in rows:
                outcomes.append((event, self._retry(session, row, event)))
            if done := [event.id for event, outcome in outcomes if outcome == DONE]:
                inbox.mark_done(session, done)
        for event, outcome in outcomes:
            self._count(event, outcome)

    def _retry(self, session: Session, row: InboxEvent, event: Event) -> str:
        error = self._try_in_savepoint(session, event)
        if error is None:
            return DONE
        if isinstance(error, Ignored):
            row.finish(IGNORED, str(error), keep_payload=isinstance(error, NoHandler))
            return row.status
        _schedule_retry(row, error)
        return row.status

    def _reschedule(self, claimed: InboxEvent, error: Exception) -> None:
        """Schedule the next attempt of an event that failed before its handler ran, or at commit."""
        with self._database.begin() as session:
            for row in inbox.lock_claimed(session, [claimed]):
                _schedule_retry(row, error)

    def _run(self, event: Event, session: Session) -> None:
        parent = event.headers.get(tracing.HEADER)
        attributes = {"messaging.message.id": event.id, "clozit.checkout_id": event.correlation_id}
        with (
            HANDLING.labels(event.routing_key).time(),
            tracing.span(f"handle {event.routing_key}", SpanKind.CONSUMER, attributes, parent=parent),
        ):
            self._handlers.run(event, session)
            if self._handlers.unblocks(event) and event.correlation_id:
                before_commit(session, inbox.wake_waiting, event.correlation_id)

    def _count(self, event: Event, outcome: str) -> None:
        HANDLED.labels(event.routing_key, outcome).inc()
        if outcome == DONE:
            LAG.observe(max(0.0, (utcnow() - event.occurred_at).total_seconds()))


def _schedule_retry(row: InboxEvent, error: Exception) -> None:
    """Schedule the next attempt of a retried event. Log what happens next, unless the event waits for its cause."""
    row.schedule_retry(_status_after(error), error)
    facts = {"event_id": row.event_id, "routing_key": row.routing_key, "attempts": row.attempts}
    if row.status == FAILED:
        log.error("last retry failed: retry or discard the event", **facts, exc_info=error)
    elif row.status == RETRYING:
        next_attempt_at = row.next_attempt_at.isoformat() if row.next_attempt_at else None
        log.error("retry failed, the next one is scheduled", **facts, next_attempt_at=next_attempt_at, exc_info=error)


def _status_after(error: Exception) -> str:
    return WAITING if isinstance(error, NotYet) else RETRYING
