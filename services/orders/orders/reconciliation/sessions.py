"""Comparison of an order with one of its sessions at Stripe."""

from collections.abc import Iterator

import orjson
from events.clock import utcnow
from events.messaging.event import STRIPE, Event
from events.messaging.session_payment import is_paid

from orders.holds import Hold, find_hold
from orders.models.orders import Order, OrderStatus
from orders.models.payments import Payment, PaymentStatus
from orders.payment_checks import find_mismatch
from orders.reconciliation.difference import Difference, describe_amount
from orders.reconciliation.stripe import Intent
from orders.stripe_objects import StripeObject, currency_of, shipping_of

UNPAID_INTENT = ("requires_payment_method", "canceled")  # a complete session's intent after a delayed payment failed
SUCCEEDED = "succeeded"  # a payment intent with the money

COMPLETED, EXPIRED = "completed", "expired"
ASYNC_SUCCEEDED, ASYNC_FAILED = "async_payment_succeeded", "async_payment_failed"
ADDRESS_MISSING = "address-missing"
STOCK_UNKNOWN = "stock-unknown"
# Kinds of difference that `completed` repairs although the order is paid: the event's id gets the suffix.
SUFFIXES = {ADDRESS_MISSING: "_address", STOCK_UNKNOWN: "_stock"}


def compare_session(order: Order, stripe_session: StripeObject, intent: Intent | None) -> Iterator[Difference]:
    """Yield the differences between an order and one of its sessions at Stripe. `intent` is its payment intent."""
    payment = _payment_of_session(order, stripe_session)
    if stripe_session["status"] == "complete" and is_paid(stripe_session):
        if payment is None or payment.paid_at is None:
            # A pending order handled `completed`, unless that was of another session.
            missing = ASYNC_SUCCEEDED if order.pending_at and _is_completed(payment) else COMPLETED
            amount = describe_amount(stripe_session["amount_total"], currency_of(stripe_session))
            text = (
                f"{stripe_session['id']} is paid at Stripe with {amount}, but not booked as paid."
                f" The order is {order.status}."
            )
            yield session_difference(order, "not-paid", text, stripe_session, missing)
        else:
            yield from _compare_paid(order, payment, stripe_session, intent)
    elif payment is not None and payment.paid_at is not None:
        text = f"The order is paid with {stripe_session['id']}, which is {status_text(stripe_session)} at Stripe."
        yield session_difference(order, "not-paid-at-stripe", text, stripe_session)
    elif intent is not None and intent.status == SUCCEEDED:
        received = describe_amount(intent.amount_received, intent.currency)
        status = status_text(stripe_session)
        text = f"Stripe received {received} with {intent.id}, but {stripe_session['id']} is {status}."
        yield session_difference(order, "charged-unpaid", text, stripe_session)
    elif end := _missing_end(order, stripe_session, intent):
        text = (
            f"{stripe_session['id']} is {status_text(stripe_session)} at Stripe, but orders has not handled"
            f" checkout.session.{end}. The order is {order.status}."
        )
        yield session_difference(order, f"not-{end.replace('_', '-')}", text, stripe_session, end)


def session_difference(
    order: Order, kind: str, text: str, stripe_session: StripeObject | None = None, missing_event: str | None = None
) -> Difference:
    """Return a difference of an order, with the ids of Stripe's session."""
    session = stripe_session or {}
    ids = {"session_id": session.get("id"), "payment_intent": session.get("payment_intent")}
    return Difference(kind, text, order.checkout_id, order.number, **ids, missing_event=missing_event)


def status_text(stripe_session: StripeObject) -> str:
    """Return a session's status as text, with the payment status of a complete one."""
    return (
        str(stripe_session["status"])
        if stripe_session["status"] != "complete"
        else f"complete and {stripe_session['payment_status']}"
    )


def _payment_of_session(order: Order, stripe_session: StripeObject) -> Payment | None:
    """Return the order's payment for this session, or None."""
    ids = (stripe_session["payment_intent"], stripe_session["id"])
    return next(
        (payment for payment in order.payments if payment.session_id == stripe_session["id"] or payment.id in ids), None
    )


def _compare_paid(
    order: Order, payment: Payment, stripe_session: StripeObject, intent: Intent | None
) -> Iterator[Difference]:
    booked = describe_amount(payment.amount, payment.currency)
    if booked != (expected := describe_amount(stripe_session["amount_total"], currency_of(stripe_session))):
        text = f"{stripe_session['id']} is paid at Stripe with {expected}, but {booked} is booked."
        yield session_difference(order, "payment-differs", text, stripe_session)
    if intent is not None and booked != (received := describe_amount(intent.amount_received, intent.currency)):
        text = f"Stripe received {received} with {intent.id}, but {booked} is booked."
        yield session_difference(order, "charge-differs", text, stripe_session)
    mismatch = find_mismatch(order, _completed_event(stripe_session), payment)
    reviewed = {review.reason for review in order.reviews}  # operators know these mismatches, also resolved ones
    if mismatch and mismatch.reason not in reviewed:
        yield session_difference(order, mismatch.reason, f"{stripe_session['id']}: {mismatch.detail}", stripe_session)
    if not order.shipping_address and order.erased_at is None and shipping_of(stripe_session):
        text = f"{stripe_session['id']} has a shipping address at Stripe, but the order has none."
        yield session_difference(order, ADDRESS_MISSING, text, stripe_session, COMPLETED)
    if find_hold(order) == Hold.STOCK and order.awaits_stock:
        text = f"{stripe_session['id']} is paid, but inventory has not published yet whether it took the pieces."
        yield session_difference(order, STOCK_UNKNOWN, text, stripe_session, COMPLETED)
    if order.status != OrderStatus.PAID:
        text = f"{payment.id} is booked as paid, but the order is {order.status}."
        yield session_difference(order, "not-paid", text, stripe_session)


def _missing_end(order: Order, stripe_session: StripeObject, intent: Intent | None) -> str | None:
    """Return the name of the event that ended an unpaid session, such as `expired`, if orders has not handled it."""
    if stripe_session["status"] == "expired":
        return EXPIRED if order.status == OrderStatus.OPEN else None
    if stripe_session["status"] != "complete":
        return None
    payment = _payment_of_session(order, stripe_session)
    if intent is not None and intent.status in UNPAID_INTENT:
        return None if payment is not None and payment.status == PaymentStatus.FAILED else ASYNC_FAILED
    return None if _is_completed(payment) else COMPLETED


def _is_completed(payment: Payment | None) -> bool:
    """Return True if orders has handled the event `completed` of the payment's session."""
    return payment is not None and payment.session_id is not None


def _completed_event(stripe_session: StripeObject) -> Event:
    """Return the session as a `completed` event, for `find_mismatch`."""
    body = orjson.dumps({"data": {"object": stripe_session}})
    return Event(stripe_session["id"], f"{STRIPE}checkout.session.{COMPLETED}", "orders", utcnow(), body)
