"""Queries for people: search, one order with everything, disputes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.database.types import UtcDateTime
from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, or_, select
from sqlalchemy.orm import Session, selectinload

from orders.holds import may_ship
from orders.models import disputes
from orders.models.disputes import Dispute
from orders.models.orders import Order, OrderSession
from orders.models.payments import Payment
from orders.repository import NUMBER_PREFIX

FILTERS: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    "status": lambda status: Order.status == status,
    "number": lambda number: Order.number == number.upper(),
    "checkout_id": lambda checkout_id: Order.checkout_id == checkout_id,
    "email": lambda email: Order.customer_email_key == email.lower(),
    "session_id": lambda session_id: Order.id.in_(_order_ids_by_session(session_id)),
    "payment_intent": lambda intent: or_(
        Order.payment_intent == intent, Order.id.in_(select(Payment.order_id).where(Payment.id == intent))
    ),
    "needs_review": Order.needs_review.is_,
    "refund_status": lambda status: Order.refund_status == status,
    "dispute_status": lambda status: Order.dispute_status == status,
    "fulfillment_status": lambda status: Order.fulfillment_status == status,
    "to_ship": lambda value: may_ship() if value else not_(may_ship()),
    "created_from": lambda instant: Order.created_at >= instant,
    "created_to": lambda instant: Order.created_at < instant,
}
DETAILS = (
    Order.sessions,
    Order.payments,
    Order.attempts,
    Order.refunds,
    Order.refund_requests,
    Order.disputes,
    Order.reviews,
    Order.shipments,
    Order.timeline,
)
PUBLIC_DETAILS = (Order.payments, Order.reviews, Order.shipments)
NO_DEADLINE = datetime(9999, 1, 1, tzinfo=UTC)  # sorts disputes without a deadline last


def search(session: Session, filters: Mapping[str, Any], *, before: str | None, limit: int) -> Sequence[Order]:
    """Return the orders that match all filters, newest first: their ids sort by the time of their checkout.

    `before` is the id of the previous page's last order.
    """
    statement = select(Order).order_by(Order.id.desc()).limit(limit).options(selectinload(Order.payments))
    for name, value in filters.items():
        statement = statement.where(FILTERS[name](value))
    if before:
        statement = statement.where(Order.id < before)
    return session.scalars(statement).all()


def find_with_details(session: Session, id_or_number: str) -> Order | None:
    """Return the order with this id or number, with the rows of all tables that belong to it, or None."""
    is_number = id_or_number.upper().startswith(NUMBER_PREFIX)
    statement = select(Order).where(Order.number == id_or_number.upper() if is_number else Order.id == id_or_number)
    return session.scalar(statement.options(*(selectinload(detail) for detail in DETAILS)))


def find_by_session(session: Session, session_id: str) -> Order | None:
    """Return the order of any of its Stripe sessions with what its customer may see, or None."""
    statement = select(Order).where(Order.id.in_(_order_ids_by_session(session_id)))
    return session.scalar(statement.options(*(selectinload(detail) for detail in PUBLIC_DETAILS)))


def list_disputes(
    session: Session, *, open_only: bool, after: tuple[Any, ...] | None, limit: int
) -> Sequence[tuple[Dispute, Order]]:
    """Return disputes with their orders, earliest deadline first. `after` is the previous page's last sort key."""
    due = func.coalesce(Dispute.evidence_due_by, literal(NO_DEADLINE, UtcDateTime()))
    statement = select(Dispute, Order).join(Order, Order.id == Dispute.order_id).order_by(due, Dispute.id).limit(limit)
    if open_only:
        statement = statement.where(Dispute.status.not_in(disputes.CLOSED))
    if after is not None:
        last_due = literal(after[0], UtcDateTime())
        statement = statement.where(or_(due > last_due, and_(due == last_due, Dispute.id > after[1])))
    return [(dispute, order) for dispute, order in session.execute(statement)]


def dispute_sort_key(dispute: Dispute) -> tuple[datetime, str]:
    """Return a dispute's sort key in the list."""
    return dispute.evidence_due_by or NO_DEADLINE, dispute.id


def _order_ids_by_session(session_id: str) -> Select[Any]:
    return select(OrderSession.order_id).where(OrderSession.session_id == session_id)
