"""Cancellation of paid orders before they ship: nothing ships any more, and the pieces can return to the stock."""

from dataclasses import dataclass, replace

from events.messaging.event import new_id
from sqlalchemy.orm import Session

from orders.acts import Act, record_act
from orders.causes import Cause
from orders.errors import (
    OrderCanceledError,
    OrderNeedsReviewError,
    OrderNotPaidError,
    OrderShippedError,
)
from orders.goods import load_goods, succeeded_payments, update_fulfillment
from orders.models.orders import Order, OrderStatus
from orders.models.refunds import RefundRequest
from orders.models.timeline import EntryKind
from orders.publishing import publish
from orders.refunds.requests import RefundParams, check_disputes, decision_key, request_rest, store_request
from orders.timeline import add_entry, format_note

OPERATOR = "operator"  # the reason in the event: an operator canceled the paid order


@dataclass(frozen=True)
class CancelParams:
    """The parameters of a cancellation. With `refund`, the rest of all payments is refunded."""

    refund: bool
    restock: bool = True
    reason: str | None = None
    note: str | None = None


def cancel(session: Session, order: Order, params: CancelParams, key: str | None, actor: str) -> list[RefundRequest]:
    """Cancel a paid order that has not shipped, and return the refund requests to send; none for a repeat.

    The order must be locked. Raises `OrderNotPaidError`, `OrderCanceledError`, `OrderNeedsReviewError`,
    `OrderShippedError`, `DisputedRefundError` and `KeyReusedError`.
    """
    if not record_act(session, order, Act("cancel", params), key, actor):
        return []
    if order.status != OrderStatus.PAID:
        raise OrderNotPaidError(order.number, order.status)
    if order.fulfillment_canceled_at is not None:
        raise OrderCanceledError(order.number)
    if order.needs_review:
        raise OrderNeedsReviewError(order.id, order.number, order.review_reason, order.review_detail)
    if any(load_goods(order).shipped.values()):
        raise OrderShippedError(order.id, order.number)
    if params.refund:
        check_disputes(order)
    cause = Cause.now(new_id("cnl"))
    refund = RefundParams(reason=params.reason, note=params.note)
    cancel_goods(session, order, cause, refund, actor, restock=params.restock)
    requests = request_rest(session, order, cause, refund, actor) if params.refund else []
    money = "and requested the refund of all that is left" if requests else "without a refund"
    text = f"{actor} canceled the order {money}.{format_note(params.note)}"
    add_entry(session, order, cause, EntryKind.CANCELED, text)
    publish(session, order, "orders.order.canceled", cause, reason=OPERATOR)
    return requests


def cancel_goods(
    session: Session, order: Order, cause: Cause, params: RefundParams, actor: str, *, restock: bool = True
) -> None:
    """End the fulfillment of an order, and publish the return of its unshipped pieces to the stock.

    Without `restock`, the pieces are recorded as canceled, but do not return. Pieces that were missing when the order
    was paid never return. The return does not depend on a refund: the pieces stay in stock even if it fails. A repeat
    does nothing.
    """
    if order.fulfillment_canceled_at is not None:
        return
    unshipped = load_goods(order).refundable_unshipped
    order.fulfillment_canceled_at = cause.occurred_at
    lines = [
        {"sku": sku, "quantity": quantity, "restock": restock, "unshipped": quantity}
        for sku, quantity in unshipped.items()
        if quantity
    ]
    payments = succeeded_payments(order)
    if lines and payments:
        key = decision_key(cause.id, "goods")
        store_request(session, order, payments[0], 0, lines, replace(params, reason=None), key, actor)
    update_fulfillment(session, order)
