"""Payments of an order and its failed attempts, as Stripe's events report them."""

import hashlib

import orjson
from events.database.transaction import before_commit
from events.messaging.event import Event
from sqlalchemy.orm import Session

from orders.models.orders import Order
from orders.models.payments import Payment, PaymentAttempt, PaymentStatus
from orders.stripe_objects import StripeObject, currency_of, presentment_of, to_datetime
from orders.unmatched_events import requeue_matched

BANK_TRANSFER = "bank_transfer"
BANK_TRANSFER_ACTION = "display_bank_transfer_instructions"
METHODS_BY_CHARGE = {"customer_balance": BANK_TRANSFER}  # where a charge names the method differently


def record_session_payment(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a session event, and set its amounts to what the session charges."""
    stripe_session = event.object
    payment_id = stripe_session.get("payment_intent") or stripe_session["id"]  # a free order has no payment intent
    payment = _get_or_create(session, order, event, payment_id, stripe_session["amount_total"])
    payment.session_id, payment.currency, payment.amount = (
        stripe_session["id"],
        currency_of(stripe_session),
        stripe_session["amount_total"],
    )
    record_charged(payment, stripe_session, agreed=order if payment.amount == order.amount_total else None)
    payment.recovered_from = stripe_session.get("recovered_from") or payment.recovered_from
    payment.payment_method_types = list(
        stripe_session.get("payment_method_types") or payment.payment_method_types or ()
    )
    return payment


def record_charged(payment: Payment, checkout_session: StripeObject, *, agreed: Order | None = None) -> None:
    """Set a payment's amounts from its session: the parts of the total, and the amount in the customer's currency.

    Old API versions leave out some parts. The payment then keeps the part that it has, or takes it from the order
    `agreed`. Pass that order only if its total is the amount of the payment.

    Only an expanded `total_details.breakdown` says whether the prices include the taxes, and events do not expand it.
    So this is derived: the prices include the taxes if the total is the sum of the other amounts.
    """
    details = checkout_session.get("total_details") or {}

    def first_known(*amounts: int | None) -> int:
        return next((amount for amount in amounts if amount is not None), 0)

    payment.amount_tax = first_known(details.get("amount_tax"), payment.amount_tax)
    payment.amount_discount = first_known(
        details.get("amount_discount"), payment.amount_discount, getattr(agreed, "amount_discount", None)
    )
    payment.amount_shipping = first_known(
        details.get("amount_shipping"), payment.amount_shipping, getattr(agreed, "amount_shipping", None)
    )
    payment.amount_subtotal = first_known(
        checkout_session.get("amount_subtotal"),
        payment.amount_subtotal,
        getattr(agreed, "amount_subtotal", None),
        payment.amount,
    )
    shipping_cost = (checkout_session.get("shipping_cost") or {}).get("amount_total")
    payment.shipping_total = payment.shipping_total if shipping_cost is None else shipping_cost
    without_tax = payment.amount_subtotal - payment.amount_discount + payment.amount_shipping
    payment.tax_included = payment.amount_tax > 0 and without_tax == payment.amount
    if presentment := presentment_of(checkout_session):
        payment.presentment_currency, payment.presentment_amount = presentment


def asks_for_transfer(intent: StripeObject) -> bool:
    """Return True if the customer has to pay a voucher or to send a bank transfer."""
    return _instructions(intent) is not None


def record_instructions(payment: Payment, intent: StripeObject) -> bool:
    """Record the voucher or bank transfer with which the customer has to pay.

    Return False if one is recorded already, if a charge has shown another method, or if the payment intent asks for
    another action.
    """
    if not (found := _instructions(intent)):
        return False
    method, details = found
    expires = details.get("expires_after") or details.get("expires_at")
    url = details.get("hosted_voucher_url") or details["hosted_instructions_url"]
    return payment.record_instructions(method, url, to_datetime(expires) if expires else None)


def record_charged_method(payment: Payment, charge: StripeObject) -> None:
    """Set a delayed payment's method to the one that its charge names, if any.

    If the payment had another method, the voucher or transfer instructions of that method are removed.
    """
    if method := (charge.get("payment_method_details") or {}).get("type"):
        payment.record_charged_method(METHODS_BY_CHARGE.get(method, method))


def _instructions(intent: StripeObject) -> tuple[str, StripeObject] | None:
    """Return the payment method and Stripe's details of a voucher or a bank transfer; None for other actions.

    QR codes, such as those of Cash App and PayNow, have `hosted_instructions_url`, too. They count as other actions:
    the customer scans the code on Stripe's page, or goes back and uses another method.
    """
    action = intent.get("next_action") or {}
    kind = str(action.get("type") or "")
    details = action.get(kind) or {}
    if details.get("hosted_voucher_url"):
        return kind.removesuffix("_display_details"), details
    if kind == BANK_TRANSFER_ACTION and details.get("hosted_instructions_url"):
        return BANK_TRANSFER, details
    return None


def get_or_create_by_intent(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a payment intent event."""
    intent = event.object
    return _get_or_create(session, order, event, intent["id"], intent.get("amount_received") or intent["amount"])


def get_or_create_by_charge(session: Session, order: Order, event: Event) -> Payment:
    """Get or create the payment of a charge event."""
    return _get_or_create(session, order, event, event.object["payment_intent"], event.object["amount"])


def record_attempt(session: Session, order: Order, event: Event) -> PaymentAttempt | None:
    """Add and return a failed payment attempt; return None if it is known.

    Stripe reports each attempt by two events: one of the payment intent and one of the charge.
    """
    reported = event.object
    is_charge = event.type.startswith("charge.")
    error = _charge_error(reported) if is_charge else reported.get("last_payment_error") or {}
    attempt = PaymentAttempt(
        id=reported["id"] if is_charge else error.get("charge") or _attempt_id(reported, error),
        order_id=order.id,
        payment_intent=reported.get("payment_intent") if is_charge else reported["id"],
        code=error.get("decline_code") or error.get("code"),
        message=error.get("message"),
        attempted_at=event.occurred_at,
    )
    if session.get(PaymentAttempt, attempt.id) is not None:  # the order is locked: no other transaction adds it now
        return None
    session.add(attempt)
    return attempt


def _attempt_id(intent: StripeObject, error: StripeObject) -> str:
    """Return an id for an attempt without a charge. Two events about one attempt have the same error."""
    digest = hashlib.sha256(orjson.dumps([intent["id"], error], option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"attempt_{digest[:32]}"


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
        currency=currency_of(event.object),
        amount=amount,
        amount_tax=0,
        created_at=event.occurred_at,
    )
    order.payments.append(payment)
    return payment
