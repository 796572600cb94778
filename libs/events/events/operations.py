"""What operators do with a service's inbox, by HTTP or on the command line; every act leaves a row in the audit."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, insert, select, tuple_, update
from sqlalchemy.orm import Session

from events.database import utcnow
from events.inbox import DISCARDED, FAILED, PENDING, RETRYING, ConsumerControl, InboxAudit, InboxEvent

OPEN = (*PENDING, FAILED)  # still has its payload, so something can be done with it


def search(
    session: Session, filters: Mapping[str, Any], *, limit: int, after: tuple[Any, ...] | None = None
) -> Sequence[InboxEvent]:
    """The newest rows first. `filters`: status, type, correlation_id, error, received_from, received_to."""
    statement = select(InboxEvent).where(*_conditions(filters))
    if after:
        statement = statement.where(tuple_(InboxEvent.received_at, InboxEvent.event_id) < after)
    statement = statement.order_by(InboxEvent.received_at.desc(), InboxEvent.event_id.desc()).limit(limit)
    return session.scalars(statement).all()


def retry(session: Session, event_ids: Sequence[str], *, actor: str, reason: str | None) -> list[str]:
    """Make unfinished events due now, with a fresh schedule; the ids for which that was possible."""
    values = {"status": RETRYING, "next_attempt_at": utcnow(), "attempts": 0, "finished_at": None}
    return _act(session, event_ids, "retry", values, actor, reason)


def discard(session: Session, event_ids: Sequence[str], *, actor: str, reason: str | None) -> list[str]:
    """Give unfinished events up; the ids for which that was possible. Their payload is kept until it is pruned."""
    values = {"status": DISCARDED, "next_attempt_at": None, "finished_at": utcnow()}
    return _act(session, event_ids, "discard", values, actor, reason)


def pause(session: Session, paused: bool, *, actor: str, reason: str | None) -> None:
    """Tell the service's consumers to stop taking messages, or to go on."""
    session.merge(ConsumerControl(id=1, paused=paused))
    _audit(session, "pause" if paused else "resume", actor, reason)


def _act(
    session: Session,
    event_ids: Sequence[str],
    action: str,
    values: Mapping[str, Any],
    actor: str,
    reason: str | None,
) -> list[str]:
    statement = (
        update(InboxEvent)
        .where(InboxEvent.event_id.in_(event_ids), InboxEvent.status.in_(OPEN))
        .values(**values)
        .returning(InboxEvent.event_id)
    )
    done = list(session.scalars(statement, execution_options={"synchronize_session": False}))
    for event_id in done:
        _audit(session, action, actor, reason, event_id)
    return done


def _audit(session: Session, action: str, actor: str, reason: str | None, event_id: str | None = None) -> None:
    session.execute(
        insert(InboxAudit).values(at=utcnow(), actor=actor, action=action, event_id=event_id, reason=reason)
    )


def _conditions(filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    conditions = {
        "status": lambda value: InboxEvent.status == value,
        "type": lambda value: InboxEvent.routing_key.in_([value, f"stripe.{value}"]),
        "correlation_id": lambda value: InboxEvent.correlation_id == value,
        "error": lambda value: InboxEvent.error.icontains(value, autoescape=True),
        "received_from": lambda value: InboxEvent.received_at >= value,
        "received_to": lambda value: InboxEvent.received_at < value,
    }
    return [condition(filters[name]) for name, condition in conditions.items() if filters.get(name) is not None]
