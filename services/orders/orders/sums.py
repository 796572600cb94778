"""An order's sums, derived from its payments and refunds. Amounts in the minor unit of the order's currency."""

from collections.abc import Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.models import SUCCEEDED, Dispute, Order, Payment, Refund, RefundIntention
from orders.models.orders import FULL, NONE, PARTIAL

Row = TypeVar("Row", Refund, RefundIntention, Dispute)


def derive_sums(order: Order) -> None:
    """Call it under the order's lock, whenever a fact of its money is new."""
    taken = payments_of(order)
    refunds = [refund for refund in order.refunds if refund.status == SUCCEEDED]
    order.amount_paid = sum(payment.amount for payment in taken if payment.currency == order.currency)
    order.amount_refunded = sum(refund.amount for refund in refunds if refund.currency == order.currency)
    order.refund_status = _refund_status(taken, refunds)


def refundable(session: Session, payment: Payment) -> int:
    """What is left of a payment: neither refunded, nor asked to be, nor taken back by the customer's bank."""
    if payment.state != SUCCEEDED:
        return 0
    session.flush()
    gone = sum(one.amount for one in _of(session, payment, Refund) if one.counts)
    gone += sum(one.amount for one in _of(session, payment, RefundIntention) if one.is_asked)
    gone += sum(one.amount for one in _of(session, payment, Dispute) if one.funds_withdrawn)
    return max(0, payment.amount - gone)


def payments_of(order: Order) -> Sequence[Payment]:
    """Those that took money, the one that fulfilled the order first."""
    taken = [payment for payment in order.payments if payment.state == SUCCEEDED]
    own = (order.payment_intent, order.session_id)
    return sorted(taken, key=lambda payment: (payment.id not in own, payment.created_at, payment.id))


def _of(session: Session, payment: Payment, model: type[Row]) -> list[Row]:
    rows = session.scalars(select(model).where(model.order_id == payment.order_id))
    return [row for row in rows if row.payment_id == payment.id]


def _refund_status(payments: Sequence[Payment], refunds: Sequence[Refund]) -> str:
    if not any(refund.amount for refund in refunds):
        return NONE
    back = {payment.id: 0 for payment in payments}
    for refund in refunds:
        back[refund.payment_id] = back.get(refund.payment_id, 0) + refund.amount
    return FULL if payments and all(back[payment.id] >= payment.amount for payment in payments) else PARTIAL
