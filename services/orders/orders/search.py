"""Queries for people: the search of orders, one order with all of its rows, and the list of disputes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.database.email_keys import email_key
from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, not_, or_, select, tuple_, union
from sqlalchemy.orm import Session, aliased, selectinload

from orders.holds import may_ship
from orders.models import disputes
from orders.models.disputes import Dispute
from orders.models.orders import Order, OrderSession
from orders.models.payments import Payment
from orders.repository import has_id_or_number

FILTERS: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
    "status": lambda status: Order.status == status,
    "number": lambda number: Order.number == number.upper(),
    "checkout_id": lambda checkout_id: Order.checkout_id == checkout_id,
    "email": lambda email: Order.customer_email_key == email_key(email),
    "session_id": lambda session_id: Order.id.in_(_order_ids_by_session(session_id)),
    "payment_intent": lambda intent: Order.id.in_(_order_ids_by_intent(intent)),
    "needs_review": lambda value: and_(Order.needs_review) if value else not_(Order.needs_review),
    "refund_status": lambda status: Order.refund_status == status,
    "dispute_status": lambda status: Order.dispute_status == status,
    "fulfillment_status": lambda status: Order.fulfillment_status == status,
    "to_ship": lambda value: may_ship() if value else not_(may_ship()),
    "created_from": lambda instant: Order.created_at >= instant,
    "created_to": lambda instant: Order.created_at < instant,
}
RELATIONS = (
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
PUBLIC_RELATIONS = (Order.payments, Order.reviews, Order.shipments)
NO_DEADLINE = datetime(9998, 12, 31, tzinfo=UTC)  # sorts disputes without one last; cursors refuse the year 9999


def search(
    session: Session, filters: Mapping[str, Any], *, before: tuple[datetime, str] | None, limit: int
) -> Sequence[Order]:
    """Return the orders that match all filters, newest first.

    `before` has `created_at` and `id` of the previous page's last order. Indexes for filters that
    find many orders are sorted the same way.
    """
    statement = select(Order).order_by(Order.created_at.desc(), Order.id.desc()).limit(limit)
    for name, value in filters.items():
        statement = statement.where(FILTERS[name](value))
    if before:
        statement = statement.where(tuple_(Order.created_at, Order.id) < before)
    return session.scalars(statement.options(selectinload(Order.payments))).all()


def find_with_details(session: Session, id_or_number: str) -> Order | None:
    """Return the order with this id or number, with the rows that `GET /orders/{id}` shows, or None."""
    statement = select(Order).where(has_id_or_number(id_or_number))
    return session.scalar(statement.options(*(selectinload(relation) for relation in RELATIONS)))


def find_by_session(session: Session, session_id: str) -> Order | None:
    """Return the order of a Stripe session with all that its customer may see, or None."""
    statement = select(Order).where(Order.id.in_(_order_ids_by_session(session_id)))
    return session.scalar(statement.options(*(selectinload(relation) for relation in PUBLIC_RELATIONS)))


def list_disputes(
    session: Session, *, open_only: bool, after: tuple[Any, ...] | None, limit: int
) -> Sequence[tuple[Dispute, Order]]:
    """Return disputes with their orders, earliest deadline first. `after` is the previous page's last sort key."""
    due = Dispute.evidence_due_by
    statement = select(Dispute, Order).join(Order, Order.id == Dispute.order_id)
    statement = statement.order_by(due.nulls_last(), Dispute.id).limit(limit)
    if open_only:
        statement = statement.where(Dispute.status.not_in(disputes.CLOSED))
    if after is not None:
        last_due, last_id = after
        later = and_(due.is_(None), Dispute.id > last_id)
        if last_due < NO_DEADLINE:
            later = or_(due > last_due, and_(due == last_due, Dispute.id > last_id), due.is_(None))
        statement = statement.where(later)
    return [(dispute, order) for dispute, order in session.execute(statement)]


def dispute_sort_key(dispute: Dispute) -> tuple[datetime, str]:
    """Return the sort key of a dispute: its evidence deadline (none is last), then its id."""
    return dispute.evidence_due_by or NO_DEADLINE, dispute.id


def _order_ids_by_intent(intent: str) -> CompoundSelect[Any]:
    """Return a query for the ids of the orders with this payment intent, or with a payment that has its id.

    UNION uses two indexes. With OR, PostgreSQL would read all orders.
    """
    order = aliased(Order)
    own = select(order.id).where(order.payment_intent == intent)
    return union(own, select(Payment.order_id).where(Payment.id == intent))


def _order_ids_by_session(session_id: str) -> Select[Any]:
    return select(OrderSession.order_id).where(OrderSession.session_id == session_id)
