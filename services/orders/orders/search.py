"""Finding orders for people."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.database.types import UtcDateTime
from sqlalchemy import ColumnElement, and_, func, literal, or_, select
from sqlalchemy.orm import Session, selectinload

from orders.models import Dispute, Order, OrderSession, Payment
from orders.models.money import DISPUTE_OVER

FILTERS: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    "status": lambda status: Order.status == status,
    "number": lambda number: Order.number == number.upper(),
    "checkout_id": lambda checkout_id: Order.checkout_id == checkout_id,
    "email": lambda email: Order.customer_email_key == email.lower(),
    "session": lambda session_id: Order.id.in_(_orders_of_session(session_id)),
    "payment_intent": lambda intent: or_(
        Order.payment_intent == intent, Order.id.in_(select(Payment.order_id).where(Payment.id == intent))
    ),
    "needs_review": Order.needs_review.is_,
    "refund_status": lambda status: Order.refund_status == status,
    "dispute_status": lambda status: Order.dispute_status == status,
    "fulfillment_status": lambda status: Order.fulfillment_status == status,
    "created_from": lambda instant: Order.created_at >= instant,
    "created_to": lambda instant: Order.created_at < instant,
}
EVERYTHING = (
    Order.sessions,
    Order.payments,
    Order.attempts,
    Order.refunds,
    Order.intentions,
    Order.disputes,
    Order.reviews,
    Order.shipments,
    Order.timeline,
)
NO_DEADLINE = datetime(9999, 1, 1, tzinfo=UTC)


def search(session: Session, filters: Mapping[str, Any], *, before: str | None, limit: int) -> Sequence[Order]:
    """The orders that pass every filter, newest first: their ids sort by the time they were made."""
    statement = select(Order).order_by(Order.id.desc()).limit(limit)
    for name, value in filters.items():
        statement = statement.where(FILTERS[name](value))
    if before:
        statement = statement.where(Order.id < before)
    return session.scalars(statement).all()


def whole(session: Session, order_id: str) -> Order | None:
    """One order with all that belongs to it."""
    statement = select(Order).where(Order.id == order_id)
    return session.scalar(statement.options(*(selectinload(part) for part in EVERYTHING)))


def by_session(session: Session, session_id: str) -> Order | None:
    """The order of any of its Stripe sessions."""
    statement = select(Order).where(Order.id.in_(_orders_of_session(session_id)))
    return session.scalar(statement.options(selectinload(Order.shipments)))


def disputes(
    session: Session, *, open_only: bool, after: tuple[Any, ...] | None, limit: int
) -> Sequence[tuple[Dispute, Order]]:
    """With their orders, those whose evidence is due first; `after`: a `dispute_key`."""
    due = func.coalesce(Dispute.evidence_due_by, literal(NO_DEADLINE, UtcDateTime()))
    statement = select(Dispute, Order).join(Order, Order.id == Dispute.order_id).order_by(due, Dispute.id).limit(limit)
    if open_only:
        statement = statement.where(Dispute.status.not_in(DISPUTE_OVER))
    if after is not None:
        at = literal(after[0], UtcDateTime())
        statement = statement.where(or_(due > at, and_(due == at, Dispute.id > after[1])))
    return [(dispute, order) for dispute, order in session.execute(statement)]


def dispute_key(dispute: Dispute) -> tuple[datetime, str]:
    """Return a dispute's sort key in the list."""
    return dispute.evidence_due_by or NO_DEADLINE, dispute.id


def _orders_of_session(session_id: str) -> Any:
    return select(OrderSession.order_id).where(OrderSession.session_id == session_id)
