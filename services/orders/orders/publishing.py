"""Publishing of order events. Each event has a snapshot of its order, and each fact is published once."""

from typing import Any

from events.messaging import outbox
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.orders import Order
from orders.models.payments import Payment

SNAPSHOT_COLUMNS = (
    "number",
    "checkout_id",
    "session_id",
    "payment_intent",
    "currency",
    "amount_subtotal",
    "amount_discount",
    "amount_shipping",
    "amount_total",
    "customer_email",
    "customer_name",
    "customer_country",
    "locale",
    "charged",
    "amount_paid",
    "amount_refunded",
    "has_other_currencies",
)
LINE_COLUMNS = ("sku", "name", "quantity", "unit_amount", "amount_total")


def publish(session: Session, order: Order, event_type: str, cause: Cause, **fields: Any) -> None:
    """Add an event with the order's current snapshot to the outbox. `fields` are those that only this type has."""
    data = {
        "order_id": order.id,
        **{name: getattr(order, name) for name in SNAPSHOT_COLUMNS},
        "lines": [{name: getattr(line, name) for name in LINE_COLUMNS} for line in order.lines],
        "occurred_at": cause.occurred_at,
        **fields,
    }
    outbox.add(session, event_type, data, correlation_id=order.checkout_id, causation=cause.event)


def publish_paid_order(session: Session, order: Order, cause: Cause) -> None:
    """Publish the order as paid, so that it is fulfilled.

    Do nothing if the order is not paid, if a review is open or ended without shipping, if the order waits for inventory
    to confirm its stock, if nothing is owed, or if the order was published as paid before.
    """
    if any(review.blocks_shipping for review in order.reviews):
        return
    if order.mark_paid_published(cause.occurred_at):
        publish(session, order, "orders.order.paid", cause)


def publish_pending_payment(session: Session, order: Order, payment: Payment, cause: Cause) -> None:
    """Publish that the payment has not arrived yet, with what is known about the voucher or bank transfer."""
    publish(
        session,
        order,
        "orders.payment.pending",
        cause,
        session_id=payment.session_id or order.session_id,
        payment_method_types=payment.payment_method_types,
        payment_method=payment.payment_method,
        voucher_url=payment.voucher_url,
        voucher_expires_at=payment.voucher_expires_at,
    )
