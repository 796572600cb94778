"""Operators' searches and actions on a service's inbox, for the API and the command line.

Each action (retry, discard, pause, resume) is recorded in the audit.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

from events.clock import utcnow
from events.database.engine import Database
from events.database.notify import notify_after_commit
from events.database.transaction import insert_once
from events.messaging.inbox import CHANNEL
from events.messaging.inbox_models import (
    DISCARDED,
    IGNORED,
    RETRYING,
    UNFINISHED,
    WAITING,
    ConsumerControl,
    InboxAuditEntry,
    InboxEvent,
)

RETRY, DISCARD = ACTIONS = ("retry", "discard")
EVENTS_PER_TRANSACTION = 500  # short locks, which delay no worker

FILTERS: Mapping[str, Any] = {
    "status": lambda value: InboxEvent.status == value,
    "type": lambda value: InboxEvent.routing_key.in_([value, f"stripe.{value}"]),
    "correlation_id": lambda value: InboxEvent.correlation_id == value,
    "error": lambda value: InboxEvent.error.icontains(value, autoescape=True),
    "received_from": lambda value: InboxEvent.received_at >= value,
    "received_to": lambda value: InboxEvent.received_at < value,
}


def search(
    session: Session, filters: Mapping[str, Any], *, limit: int, after: tuple[Any, ...] | None = None
) -> Sequence[InboxEvent]:
    """Return matching rows, newest first. `filters` maps names in `FILTERS` to values; None means no filter."""
    statement = select(InboxEvent).where(*_conditions(filters))
    if after:
        statement = statement.where(tuple_(InboxEvent.received_at, InboxEvent.event_id) < after)
    statement = statement.order_by(InboxEvent.received_at.desc(), InboxEvent.event_id.desc()).limit(limit)
    return session.scalars(statement).all()


def unfinished(
    session: Session, filters: Mapping[str, Any], *, limit: int | None, after: tuple[Any, ...] | None = None
) -> Sequence[InboxEvent]:
    """Return the matching unfinished rows, oldest first.

    With the status `ignored` in `filters`, return instead the ignored rows that still have a payload.
    """
    statement = select(InboxEvent).where(_can_change(filters), *_conditions(filters))
    if after:
        statement = statement.where(tuple_(InboxEvent.received_at, InboxEvent.event_id) > after)
    return session.scalars(statement.order_by(InboxEvent.received_at, InboxEvent.event_id).limit(limit)).all()


def count_unfinished(session: Session, filters: Mapping[str, Any]) -> int:
    """Return the number of rows that `unfinished` would return without a limit."""
    statement = select(func.count()).select_from(InboxEvent)
    return session.scalar(statement.where(_can_change(filters), *_conditions(filters))) or 0


def apply_action(
    session: Session,
    action: str,
    event_ids: Sequence[str],
    *,
    actor: str,
    reason: str | None,
    due: datetime | None = None,
) -> list[str]:
    """Make unfinished events due for a retry, or discard them; return the ids of those that were changed.

    A retry starts the schedule from its beginning, at `due` or now. It also covers events that had no handler, while
    their payload is kept. A discarded event keeps its payload until it is pruned. Every change is audited.
    """
    values = _retry_values(due or utcnow()) if action == RETRY else _discard_values()
    statement = (
        update(InboxEvent)
        .where(InboxEvent.event_id.in_(event_ids), _RETRYABLE if action == RETRY else _UNFINISHED)
        .values(**values)
        .returning(InboxEvent.event_id)
    )
    changed = set(session.scalars(statement, execution_options={"synchronize_session": False}))
    done = [event_id for event_id in dict.fromkeys(event_ids) if event_id in changed]
    audit(session, action, done, actor=actor, reason=reason)
    notify_after_commit(session, CHANNEL)
    return done


def apply_action_to_all(
    database: Database,
    action: str,
    filters: Mapping[str, Any],
    *,
    limit: int | None,
    actor: str,
    reason: str | None,
    rate: float | None = None,
) -> Iterator[list[str]]:
    """Apply an action to all matching events, oldest first, in small transactions; yield the changed ids of each.

    With a `rate` in events per second, each transaction changes the events of about one second, and retries become due
    at that rate. Their due times are in the database, so the command need not wait for them.
    """
    chunk = EVENTS_PER_TRANSACTION if rate is None else min(EVENTS_PER_TRANSACTION, max(1, int(rate)))
    start, found_count, after = utcnow(), 0, None
    while limit is None or found_count < limit:
        with database.begin() as session:
            found = unfinished(
                session, filters, limit=chunk if limit is None else min(chunk, limit - found_count), after=after
            )
            if not found:
                return
            due = start + timedelta(seconds=found_count / rate) if rate else start
            done = apply_action(session, action, [row.event_id for row in found], actor=actor, reason=reason, due=due)
        yield done
        found_count += len(found)
        after = (found[-1].received_at, found[-1].event_id)


def set_paused(session: Session, paused: bool, *, actor: str, reason: str | None) -> None:
    """Stop the service's workers from taking messages and from retrying events, or let them continue."""
    if not insert_once(session, ConsumerControl, id=1, paused=paused):
        session.execute(update(ConsumerControl).where(ConsumerControl.id == 1).values(paused=paused))
    audit(session, "pause" if paused else "resume", [None], actor=actor, reason=reason)
    notify_after_commit(session, CHANNEL)


def audit(session: Session, action: str, event_ids: Sequence[str | None], *, actor: str, reason: str | None) -> None:
    """Record an operator's action on these events, with its reason."""
    now = utcnow()
    rows = [
        {"acted_at": now, "actor": actor, "action": action, "event_id": each, "reason": reason} for each in event_ids
    ]
    if rows:
        session.execute(insert(InboxAuditEntry), rows)


def audit_trail(
    session: Session, *, limit: int, event_id: str | None = None, before: int | None = None
) -> Sequence[InboxAuditEntry]:
    """Return audit entries, newest first. `event_id` selects those of one event, `before` those with a lower id."""
    statement = select(InboxAuditEntry).order_by(InboxAuditEntry.id.desc()).limit(limit)
    if event_id is not None:
        statement = statement.where(InboxAuditEntry.event_id == event_id)
    if before is not None:
        statement = statement.where(InboxAuditEntry.id < before)
    return session.scalars(statement).all()


def _retry_values(due: datetime) -> dict[str, Any]:
    status = case((InboxEvent.status == WAITING, WAITING), else_=RETRYING)  # a waiting event can still be woken earlier
    return {"status": status, "next_attempt_at": due, "attempts": 0, "finished_at": None}


def _discard_values() -> dict[str, Any]:
    return {"status": DISCARDED, "next_attempt_at": None, "finished_at": utcnow()}


_UNFINISHED = InboxEvent.status.in_(UNFINISHED)
_UNHANDLED = and_(InboxEvent.status == IGNORED, InboxEvent.body.is_not(None))
_RETRYABLE = or_(_UNFINISHED, _UNHANDLED)


def _can_change(filters: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the condition of the rows that a bulk action may change: the unfinished ones.

    With the status `ignored` in `filters`, they are instead the ignored ones that still have a payload.
    """
    return _UNHANDLED if filters.get("status") == IGNORED else _UNFINISHED


def _conditions(filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the conditions of filters. An error is searched in ignored events only if the status says so.

    Ignored events are many where other applications share the Stripe account, and their error is only a reason.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    conditions = [FILTERS[name](value) for name, value in given.items()]
    if "error" in given and "status" not in given:
        conditions.append(InboxEvent.status != IGNORED)
    return conditions
