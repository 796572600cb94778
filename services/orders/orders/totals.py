"""Totals of an order, derived from its payments and refunds, in minor units of the order's currency."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from events.messaging.contracts.refunds import RefundStatus
from events.money import SUPPORTED, step
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.goods import amounts_gone, succeeded_payments
from orders.models.disputes import Dispute
from orders.models.orders import Order, OrderRefundStatus
from orders.models.payments import Payment, PaymentStatus
from orders.models.refunds import Refund, RefundRequest

Row = TypeVar("Row", Refund, RefundRequest, Dispute)


def update_totals(order: Order) -> None:
    """Derive the order's amounts and refund status again. The order must be locked."""
    refunds = [refund for refund in order.refunds if refund.status == RefundStatus.SUCCEEDED]
    own = next((sums for sums in order.sums if sums["currency"] == order.currency), None)
    order.amount_paid = own["amount_paid"] if own else 0
    order.amount_refunded = own["amount_refunded"] if own else 0
    order.refund_status = _refund_status(succeeded_payments(order), refunds)


def refundable_amount(session: Session, payment: Payment) -> int:
    """Return the rest of a payment after refunds, unanswered refund requests and what the bank withholds.

    The amount is in minor units of the payment's currency. It is 0 unless the payment has succeeded, and while a
    chargeback of it is open.
    """
    if payment.status != PaymentStatus.SUCCEEDED:
        return 0
    refunds, requests = _rows_of(session, payment, Refund), _rows_of(session, payment, RefundRequest)
    return count_refundable(payment, refunds, requests, _rows_of(session, payment, Dispute))


def count_refundable(
    payment: Payment, refunds: Iterable[Refund], requests: Iterable[RefundRequest], disputes: Iterable[Dispute]
) -> int:
    """Return what `refundable_amount` returns, counted from these rows of the payment's order."""
    own_disputes = [dispute for dispute in disputes if dispute.payment_id == payment.id]
    if payment.status != PaymentStatus.SUCCEEDED or any(dispute.blocks_refunds for dispute in own_disputes):
        return 0
    withheld = sum(dispute.amount_held or 0 for dispute in own_disputes)
    rest = max(0, payment.amount - amounts_gone(refunds, requests)[payment.id] - withheld)
    if withheld and payment.currency in SUPPORTED:
        rest -= rest % step(payment.currency)  # a bank's part can be any number of minor units, a refund cannot
    return rest


def _rows_of(session: Session, payment: Payment, model: type[Row]) -> list[Row]:
    rows = session.scalars(select(model).where(model.order_id == payment.order_id))
    return [row for row in rows if row.payment_id == payment.id]


def _refund_status(payments: Sequence[Payment], refunds: Sequence[Refund]) -> OrderRefundStatus:
    if not any(refund.amount for refund in refunds):
        return OrderRefundStatus.NONE
    refunded = {payment.id: 0 for payment in payments}
    for refund in refunds:
        refunded[refund.payment_id] = refunded.get(refund.payment_id, 0) + refund.amount
    if payments and all(refunded[payment.id] >= payment.amount for payment in payments):
        return OrderRefundStatus.FULL
    return OrderRefundStatus.PARTIAL
