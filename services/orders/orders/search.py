"""Finding orders for people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session, selectinload

from orders.models import Order, OrderSession, Payment

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
    "created_from": lambda instant: Order.created_at >= instant,
    "created_to": lambda instant: Order.created_at < instant,
}
EVERYTHING = (Order.sessions, Order.payments, Order.attempts, Order.timeline)


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
    return session.scalar(select(Order).where(Order.id.in_(_orders_of_session(session_id))))


def _orders_of_session(session_id: str) -> Any:
    return select(OrderSession.order_id).where(OrderSession.session_id == session_id)
