"""Payments by payment intent: the facts that Stripe tells of the money for an order."""

from typing import Any

from events.database.transaction import before_commit
from events.messaging.event import Event
from sqlalchemy.orm import Session

from orders.models import Order, Payment, PaymentAttempt
from orders.strays import bring_back


def payment_of_session(session: Session, order: Order, event: Event) -> Payment:
    """What this session is paid with; its amounts, tax included, are the ones that count."""
    obj = event.object
    payment_id = obj.get("payment_intent") or obj["id"]  # a free order has no payment intent
    payment = _payment(session, order, event, payment_id, obj["currency"], obj["amount_total"])
    payment.session_id, payment.currency, payment.amount = obj["id"], obj["currency"], obj["amount_total"]
    payment.amount_tax = (obj.get("total_details") or {}).get("amount_tax") or 0
    return payment


def payment_of_intent(session: Session, order: Order, event: Event) -> Payment:
    obj = event.object
    return _payment(session, order, event, obj["id"], obj["currency"], obj.get("amount_received") or obj["amount"])


def payment_of_charge(session: Session, order: Order, event: Event) -> Payment:
    obj = event.object
    return _payment(session, order, event, obj["payment_intent"], obj["currency"], obj["amount"])


def record_attempt(session: Session, order: Order, event: Event) -> PaymentAttempt | None:
    """A failed try, told by the payment intent and by the charge; None if it is known."""
    obj = event.object
    is_charge = obj["object"] == "charge"
    error = _charge_error(obj) if is_charge else obj.get("last_payment_error") or {}
    attempt = PaymentAttempt(
        id=(obj["id"] if is_charge else error.get("charge")) or event.id,
        order_id=order.id,
        payment_intent=obj.get("payment_intent") if is_charge else obj["id"],
        code=error.get("decline_code") or error.get("code"),
        message=error.get("message"),
        at=event.occurred_at,
    )
    if session.get(PaymentAttempt, attempt.id) is not None:  # the order's lock is ours: nobody else adds it now
        return None
    session.add(attempt)
    return attempt


def _charge_error(charge: dict[str, Any]) -> dict[str, Any]:
    """A failed charge's error under the names that a payment intent uses."""
    reason = (charge.get("outcome") or {}).get("reason")
    return {"decline_code": reason, "code": charge.get("failure_code"), "message": charge.get("failure_message")}


def _payment(session: Session, order: Order, event: Event, payment_id: str, currency: str, amount: int) -> Payment:
    for known in order.payments:
        if known.id == payment_id:
            return known
    before_commit(session, bring_back, payment_id)
    payment = Payment(
        id=payment_id,
        order_id=order.id,
        state="pending",
        currency=currency,
        amount=amount,
        amount_tax=0,
        created_at=event.occurred_at,
    )
    order.payments.append(payment)
    return payment
