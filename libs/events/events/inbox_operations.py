"""What operators do with a service's inbox, by HTTP or on the command line; every act leaves a row in the audit."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, insert, select, tuple_, update
from sqlalchemy.orm import Session

from events.database import Database, announce, utcnow
from events.inbox import CHANNEL, DISCARDED, FAILED, PENDING, RETRYING, WAITING, ConsumerControl, InboxAudit, InboxEvent

OPEN = (*PENDING, FAILED)  # still has its payload, so something can be done with it
RETRY, DISCARD = ACTIONS = ("retry", "discard")
CHUNK = 500  # events a transaction: its locks are gone before a worker minds

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
    """The newest rows first. `filters` are of `FILTERS`; those that are None do not count."""
    statement = select(InboxEvent).where(*_conditions(filters))
    if after:
        statement = statement.where(tuple_(InboxEvent.received_at, InboxEvent.event_id) < after)
    statement = statement.order_by(InboxEvent.received_at.desc(), InboxEvent.event_id.desc()).limit(limit)
    return session.scalars(statement).all()


def unfinished(
    session: Session, filters: Mapping[str, Any], *, limit: int | None, after: tuple[Any, ...] | None = None
) -> Sequence[InboxEvent]:
    """Those that something can be done with, the oldest first."""
    statement = select(InboxEvent).where(InboxEvent.status.in_(OPEN), *_conditions(filters))
    if after:
        statement = statement.where(tuple_(InboxEvent.received_at, InboxEvent.event_id) > after)
    return session.scalars(statement.order_by(InboxEvent.received_at, InboxEvent.event_id).limit(limit)).all()


def count_unfinished(session: Session, filters: Mapping[str, Any]) -> int:
    statement = select(func.count()).select_from(InboxEvent)
    return session.scalar(statement.where(InboxEvent.status.in_(OPEN), *_conditions(filters))) or 0


def act(
    session: Session,
    action: str,
    event_ids: Sequence[str],
    *,
    actor: str,
    reason: str | None,
    due: datetime | None = None,
) -> list[str]:
    """Retry or discard unfinished events; the ids for which that was possible.

    A retry starts the schedule afresh, at `due` or now. What is discarded keeps its payload until it is pruned.
    """
    values = _retried(due or utcnow()) if action == RETRY else _discarded()
    statement = (
        update(InboxEvent)
        .where(InboxEvent.event_id.in_(event_ids), InboxEvent.status.in_(OPEN))
        .values(**values)
        .returning(InboxEvent.event_id)
    )
    changed = set(session.scalars(statement, execution_options={"synchronize_session": False}))
    done = [event_id for event_id in dict.fromkeys(event_ids) if event_id in changed]
    audit(session, action, done, actor=actor, reason=reason)
    announce(session, CHANNEL)
    return done


def act_on_all(
    database: Database,
    action: str,
    filters: Mapping[str, Any],
    *,
    limit: int | None,
    actor: str,
    reason: str | None,
    rate: float | None = None,
) -> Iterator[list[str]]:
    """Act on what matches, the oldest first, in small transactions; each one's ids.

    With a `rate`, a transaction is at most a second's worth, and retries become due at that many a second: so the
    schedule stands in the database and needs nobody to watch it.
    """
    chunk = CHUNK if rate is None else min(CHUNK, max(1, int(rate)))
    start, met, after = utcnow(), 0, None
    while limit is None or met < limit:
        with database.begin() as session:
            found = unfinished(session, filters, limit=chunk if limit is None else min(chunk, limit - met), after=after)
            if not found:
                return
            due = start + timedelta(seconds=met / rate) if rate else start
            done = act(session, action, [row.event_id for row in found], actor=actor, reason=reason, due=due)
        yield done
        met += len(found)
        after = (found[-1].received_at, found[-1].event_id)


def pause(session: Session, paused: bool, *, actor: str, reason: str | None) -> None:
    """Tell the service's consumers to stop taking messages, or to go on."""
    session.merge(ConsumerControl(id=1, paused=paused))
    audit(session, "pause" if paused else "resume", [None], actor=actor, reason=reason)
    announce(session, CHANNEL)


def audit(session: Session, action: str, event_ids: Sequence[str | None], *, actor: str, reason: str | None) -> None:
    """Note who did what to these events, and why."""
    now = utcnow()
    rows = [{"at": now, "actor": actor, "action": action, "event_id": each, "reason": reason} for each in event_ids]
    if rows:
        session.execute(insert(InboxAudit), rows)


def audit_trail(
    session: Session, *, limit: int, event_id: str | None = None, before: int | None = None
) -> Sequence[InboxAudit]:
    """The latest acts first; those with an id below `before`."""
    statement = select(InboxAudit).order_by(InboxAudit.id.desc()).limit(limit)
    if event_id is not None:
        statement = statement.where(InboxAudit.event_id == event_id)
    if before is not None:
        statement = statement.where(InboxAudit.id < before)
    return session.scalars(statement).all()


def _retried(due: datetime) -> dict[str, Any]:
    status = case((InboxEvent.status == WAITING, WAITING), else_=RETRYING)  # what waits can still be woken earlier
    return {"status": status, "next_attempt_at": due, "attempts": 0, "finished_at": None}


def _discarded() -> dict[str, Any]:
    return {"status": DISCARDED, "next_attempt_at": None, "finished_at": utcnow()}


def _conditions(filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return [FILTERS[name](value) for name, value in filters.items() if value is not None]
