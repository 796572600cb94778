"""Payments of an order and its failed attempts, as Stripe's events report them."""

from events.database.transaction import before_commit
from events.messaging.event import Event
from sqlalchemy.orm import Session

from orders.models.orders import Order
from orders.models.payments import Payment, PaymentAttempt, PaymentStatus
from orders.stripe_objects import StripeObject
from orders.unmatched_events import requeue_matched


def record_session_payment(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a session event, and set its amounts to the session's. These include taxes."""
    obj = event.object
    payment_id = obj.get("payment_intent") or obj["id"]  # a free order has no payment intent
    payment = _get_or_create(session, order, event, payment_id, obj["amount_total"])
    payment.session_id, payment.currency, payment.amount = obj["id"], obj["currency"], obj["amount_total"]
    payment.amount_tax = (obj.get("total_details") or {}).get("amount_tax") or 0
    return payment


def get_or_create_by_intent(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a payment intent event."""
    obj = event.object
    return _get_or_create(session, order, event, obj["id"], obj.get("amount_received") or obj["amount"])


def get_or_create_by_charge(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a charge event."""
    return _get_or_create(session, order, event, event.object["payment_intent"], event.object["amount"])


def record_attempt(session: Session, order: Order, event: Event) -> PaymentAttempt | None:
    """Add a failed attempt; return None if it is known. The payment intent and the charge both report it."""
    obj = event.object
    is_charge = obj["object"] == "charge"
    error = _charge_error(obj) if is_charge else obj.get("last_payment_error") or {}
    attempt = PaymentAttempt(
        id=(obj["id"] if is_charge else error.get("charge")) or event.id,
        order_id=order.id,
        payment_intent=obj.get("payment_intent") if is_charge else obj["id"],
        code=error.get("decline_code") or error.get("code"),
        message=error.get("message"),
        attempted_at=event.occurred_at,
    )
    if session.get(PaymentAttempt, attempt.id) is not None:  # the order is locked: no other transaction adds it now
        return None
    session.add(attempt)
    return attempt


def _charge_error(charge: StripeObject) -> StripeObject:
    """Return a failed charge's error under the names that a payment intent uses."""
    reason = (charge.get("outcome") or {}).get("reason")
    return {"decline_code": reason, "code": charge.get("failure_code"), "message": charge.get("failure_message")}


def _get_or_create(session: Session, order: Order, event: Event, payment_id: str, amount: int) -> Payment:
    for known in order.payments:
        if known.id == payment_id:
            return known
    before_commit(session, requeue_matched, payment_id)
    payment = Payment(
        id=payment_id,
        order_id=order.id,
        status=PaymentStatus.PENDING,
        currency=event.object["currency"],
        amount=amount,
        amount_tax=0,
        created_at=event.occurred_at,
    )
    order.payments.append(payment)
    return payment
