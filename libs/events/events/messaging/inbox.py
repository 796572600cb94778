"""The inbox: one row in the service's own database for each event that it has received. Retries read it from there.

inbox_models.py has the tables and the life of a row.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session, load_only

from events.clock import utcnow
from events.database.chunks import change_in_chunks
from events.database.engine import Database
from events.database.notify import wake_after_commit
from events.database.transaction import for_update, insert, skip_locked
from events.messaging.erased_checkouts import is_erased, lock_erasure
from events.messaging.event import Event
from events.messaging.inbox_models import (
    DISCARDED,
    DONE,
    IGNORED,
    RETRIED_STATUSES,
    WAITING,
    ConsumerControl,
    InboxEvent,
)
from events.messaging.redaction import redacted

CHANNEL = "inbox"  # notified when an event is due earlier than planned, and when consumers are paused or resumed
DUPLICATE = "duplicate"  # the outcome of an event that is already in the inbox

CLAIM_BATCH_SIZE = 50  # rows per claim: enough to share a transaction, few enough to try one by one
UNHANDLED_RETENTION = timedelta(days=7)  # payload of events that no handler of this release takes
RETENTION = timedelta(days=35)  # Stripe lists events for 30 days: a backfill must find their rows here


def claim_new(session: Session, events: Sequence[Event]) -> set[str]:
    """Insert the events as done in one statement and return the ids of the new ones. The others are duplicates."""
    table, now = InboxEvent.__table__, utcnow()
    rows = {event.id: _row(event, DONE, received_at=now, finished_at=now) for event in events}
    statement = insert(session, table).on_conflict_do_nothing().returning(table.c.event_id)
    return set(session.scalars(statement, [rows[event_id] for event_id in sorted(rows)]))


def release_claim(session: Session, event: Event) -> None:
    """Delete the row that `claim_new` inserted in this transaction."""
    session.execute(delete(InboxEvent).where(InboxEvent.event_id == event.id))


def keep_unhandled(session: Session, event: Event, reason: str) -> None:
    """Set a claimed event without a handler to ignored and store its payload. Call it last: it locks the checkout."""
    row = session.get_one(InboxEvent, event.id)
    row.status, row.error = IGNORED, reason
    _store_payload(session, row, event)
    session.flush()


def mark_ignored(session: Session, event_ids: Sequence[str], reason: str) -> None:
    """Set claimed events to ignored, with the reason."""
    values = {"status": IGNORED, "error": reason}
    session.execute(update(InboxEvent).where(InboxEvent.event_id.in_(event_ids)).values(values))


def store_unhandled(session: Session, event: Event, status: str, error: BaseException) -> str:
    """Store an event whose first attempt did not succeed, and schedule its retry.

    Return its status, or `DUPLICATE` if the inbox already has the event.
    """
    if session.get(InboxEvent, event.id) is not None:
        return DUPLICATE
    row = InboxEvent(**_row(event, status, received_at=utcnow()))
    row.attempts = 1
    row.schedule_retry(status, error)
    _store_payload(session, row, event)
    session.add(row)
    session.flush()
    wake_after_commit(session, CHANNEL)
    return row.status


def _store_payload(session: Session, row: InboxEvent, event: Event) -> None:
    """Store the payload, without the customer if they are erased, or if a later erasure could not find the event."""
    row.body, row.headers = event.body, dict(event.headers)
    if event.correlation_id is None:
        row.body = redacted(event.routing_key, event.body)
    else:
        lock_erasure(session, event.correlation_id)
        if is_erased(session, event.correlation_id):
            row.redact()


def _row(event: Event, status: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "routing_key": event.routing_key,
        "source": event.source,
        "correlation_id": event.correlation_id,
        "occurred_at": event.occurred_at,
        "status": status,
        "attempts": 1 if status == DONE else 0,
        **more,
    }


def wake_waiting(session: Session, correlation_ids: Iterable[str]) -> None:
    """Make the events that wait for these checkouts due now. Call it last: retries lock the inbox last, too."""
    wake_after_commit(session, CHANNEL)
    waiting = select(InboxEvent.event_id).where(
        InboxEvent.status == WAITING, InboxEvent.correlation_id.in_(list(correlation_ids))
    )
    locked = for_update(session, waiting.order_by(InboxEvent.event_id))
    session.execute(
        update(InboxEvent).where(InboxEvent.event_id.in_(locked)).values(next_attempt_at=utcnow()),
        execution_options={"synchronize_session": False},
    )


def claim_due(session: Session, now: datetime) -> Sequence[InboxEvent]:
    """Claim the rows that have been due longest and return them without their payload. Commit before the retries.

    Interrupted rows are claimed one at a time, when no other row of the batch is due.

    Only pending rows have a `next_attempt_at`. A condition on the status, too, would let PostgreSQL choose the status
    index before it has analyzed a sudden backlog, and sort all of the backlog for each claim.
    """
    columns = load_only(InboxEvent.event_id, InboxEvent.status, InboxEvent.attempts, InboxEvent.error)
    statement = select(InboxEvent).where(InboxEvent.next_attempt_at <= now).order_by(InboxEvent.next_attempt_at)
    due = session.scalars(skip_locked(session, statement.options(columns).limit(CLAIM_BATCH_SIZE))).all()
    claimed = [row for row in due if not row.is_interrupted] or due[:1]
    for row in claimed:
        row.begin_attempt()
    return claimed


def read_claimed(session: Session, claimed: Sequence[InboxEvent]) -> Sequence[InboxEvent]:
    """Return the claimed rows with their payload, not locked, without those finished meanwhile."""
    return session.scalars(_still_pending(claimed)).all()


def lock_claimed(session: Session, claimed: Sequence[InboxEvent]) -> Sequence[InboxEvent]:
    """Lock the claimed rows that are unchanged since the claim, and return them with their payload.

    This call waits for row locks: another worker's later claim can hold them briefly.
    """
    attempts = {row.event_id: row.attempts for row in claimed}
    statement = for_update(session, _still_pending(claimed))
    rows = session.scalars(statement, execution_options={"populate_existing": True}).all()
    unchanged = [row for row in rows if row.is_interrupted and row.attempts == attempts[row.event_id]]
    return sorted(unchanged, key=lambda row: (row.occurred_at, row.event_id))


def give_back(session: Session, claimed: Sequence[InboxEvent]) -> None:
    """Make claimed rows due now and do not count the attempt, which ended because the database went away."""
    for row in lock_claimed(session, claimed):
        row.give_back()


def _still_pending(claimed: Sequence[InboxEvent]) -> Select[Any]:
    """Return the query of claimed rows that are still to be retried, by id: the lock order of the inbox."""
    ids = [row.event_id for row in claimed]
    statement = select(InboxEvent).where(InboxEvent.event_id.in_(ids), InboxEvent.status.in_(RETRIED_STATUSES))
    return statement.order_by(InboxEvent.event_id)


def mark_done(session: Session, event_ids: Sequence[str]) -> None:
    """Finish retried events in one statement and drop their payload."""
    dropped = dict.fromkeys(("next_attempt_at", "body", "headers", "traceback", "error"))
    statement = update(InboxEvent).where(InboxEvent.event_id.in_(event_ids))
    statement = statement.values(status=DONE, finished_at=utcnow(), **dropped)
    session.execute(statement, execution_options={"synchronize_session": False})


def next_due(session: Session) -> tuple[bool, datetime | None]:
    """Return whether the consumers are paused, and when the next attempt is due (None: there is none)."""
    paused = select(ConsumerControl.paused).where(ConsumerControl.id == 1).scalar_subquery()
    due = select(func.min(InboxEvent.next_attempt_at)).where(InboxEvent.next_attempt_at.is_not(None)).scalar_subquery()
    is_paused, due_at = session.execute(select(paused, due)).one()
    return bool(is_paused), due_at


def is_paused(session: Session) -> bool:
    """Return whether an operator has paused the consumers."""
    return bool(session.scalar(select(ConsumerControl.paused).where(ConsumerControl.id == 1)))


def drop_unhandled(database: Database, before: datetime) -> int:
    """Drop the payload of unhandled events received before an instant and return their number.

    Leave out events received more than `UNHANDLED_RETENTION` before that instant, so that a run reads few rows. `prune`
    deletes these.
    """
    expired = select(InboxEvent.event_id).where(
        InboxEvent.status == IGNORED,
        InboxEvent.received_at.between(before - UNHANDLED_RETENTION, before),
        InboxEvent.body.is_not(None),
    )

    def drop_payload(session: Session, event_ids: Sequence[str]) -> None:
        session.execute(update(InboxEvent).where(InboxEvent.event_id.in_(event_ids)).values(body=None, headers=None))

    return change_in_chunks(database, expired.order_by(InboxEvent.received_at), drop_payload)


def prune(database: Database, before: datetime) -> int:
    """Delete finished rows received before an instant and return their number; failed and pending rows stay."""
    finished = InboxEvent.status.in_((DONE, IGNORED, DISCARDED))
    old = select(InboxEvent.event_id).where(finished, InboxEvent.received_at < before).order_by(InboxEvent.received_at)

    def delete_rows(session: Session, event_ids: Sequence[str]) -> None:
        session.execute(delete(InboxEvent).where(InboxEvent.event_id.in_(event_ids)))

    return change_in_chunks(database, old, delete_rows)
