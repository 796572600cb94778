"""What events mean for an order."""

from collections.abc import Sequence

from events.errors import Ignored
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from sqlalchemy.orm import Session

from orders import guards
from orders.announcements import Cause, amount_text, announce, confirm, note
from orders.disputes import record_dispute
from orders.lookup import (
    lock_orders,
    make_order,
    order_of_checkout,
    order_of_metadata,
    order_of_money,
    order_of_session,
)
from orders.models import Order, Payment
from orders.payments import payment_of_charge, payment_of_intent, payment_of_session, record_attempt
from orders.refunds import record_refund
from orders.reviews import open_review
from orders.sums import derive_sums

handlers = Handlers()


@handlers.prepare
def lock_all(events: Sequence[Event], session: Session) -> None:
    lock_orders(session, events)


@handlers.on("checkout.checkout.started", unblocks=True)
def open_order(event: Event, session: Session) -> None:
    order = make_order(session, event)
    if order is not None:
        agreed = amount_text(order.amount_total, order.currency)
        note(session, order, Cause.of(event), "started", f"The customer went to pay {agreed}.")


@handlers.on("checkout.checkout.canceled")
def cancel_order(event: Event, session: Session) -> None:
    """The customer gave up."""
    order = order_of_checkout(session, event, event.data["checkout_id"])
    if order.cancel(event.occurred_at):
        note(session, order, Cause.of(event), "canceled", "The customer gave up.")
        announce(session, order, "orders.order.canceled", Cause.of(event))


@handlers.on("stripe.checkout.session.completed")
def complete_session(event: Event, session: Session) -> None:
    """The customer finished; only a delayed payment method leaves the session unpaid then."""
    if event.object["payment_status"] == "unpaid":
        await_payment(event, session)
    else:
        record_payment(event, session)


def await_payment(event: Event, session: Session) -> None:
    order = order_of_session(session, event)
    order.meet_customer(event.object)
    payment = payment_of_session(session, order, event)
    _remember_intent(order, event.object.get("payment_intent"))
    if order.await_payment(event.occurred_at):
        text = f"The customer finished; {_amount(payment)} are on their way."
        note(session, order, Cause.of(event), "payment-pending", text)
        announce(session, order, "orders.payment.pending", Cause.of(event))


@handlers.on("stripe.checkout.session.async_payment_succeeded")
def record_payment(event: Event, session: Session) -> None:
    """The session is paid: fulfil, unless something does not fit; then a person decides first."""
    order, cause = order_of_session(session, event), Cause.of(event)
    order.meet_customer(event.object)
    payment = payment_of_session(session, order, event)
    if not payment.settle(event.occurred_at):
        return
    derive_sums(order)
    if not order.pay(event.occurred_at):
        detail = f"Paid again: {_amount(payment)} with {payment.id}."
        open_review(session, order, "duplicate-payment", detail, cause, subject=payment.id)
        return
    order.session_id = event.object["id"]
    order.payment_intent = event.object.get("payment_intent") or order.payment_intent
    note(session, order, cause, "paid", f"The customer paid {_amount(payment)}.")
    if review := guards.review(order, event):
        open_review(session, order, *review, cause)
    confirm(session, order, cause)


@handlers.on("stripe.checkout.session.async_payment_failed")
def fail_payment(event: Event, session: Session) -> None:
    order = order_of_session(session, event)
    order.meet_customer(event.object)
    payment = payment_of_session(session, order, event)
    payment.fail()
    _remember_intent(order, event.object.get("payment_intent"))
    if order.fail(event.occurred_at):
        note(session, order, Cause.of(event), "payment-failed", f"The delayed payment of {_amount(payment)} failed.")
        announce(session, order, "orders.payment.failed", Cause.of(event))


@handlers.on("stripe.checkout.session.expired")
def expire_order(event: Event, session: Session) -> None:
    """Nobody paid in time."""
    order = order_of_session(session, event)
    order.meet_customer(event.object)
    recovery = (event.object.get("after_expiration") or {}).get("recovery") or {}
    if order.erased_at is None:
        order.recovery_url = order.recovery_url or recovery.get("url")
    if order.expire(event.occurred_at):
        note(session, order, Cause.of(event), "expired", "The session ended unpaid.")
        announce(session, order, "orders.order.expired", Cause.of(event), recovery_url=order.recovery_url)


@handlers.on("stripe.payment_intent.succeeded")
def remember_intent(event: Event, session: Session) -> None:
    """The money moved; whether it pays the order is for the session to tell, which bears the agreed amounts."""
    order = order_of_metadata(session, event)
    _take_money(session, order, payment_of_intent(session, order, event), event)


@handlers.on("stripe.charge.succeeded", "stripe.charge.refunded")
def remember_charge(event: Event, session: Session) -> None:
    """The same, told of the charge. What it says of refunds is a sum; each refund has events of its own."""
    order = order_of_metadata(session, event)
    if not event.object.get("payment_intent"):
        raise Ignored("of no payment intent: our checkout makes no other payments")
    _take_money(session, order, payment_of_charge(session, order, event), event)


@handlers.on("stripe.payment_intent.payment_failed", "stripe.charge.failed")
def remember_attempt(event: Event, session: Session) -> None:
    """A declined card is not an end: the customer may try again in the same session."""
    order = order_of_metadata(session, event)
    if attempt := record_attempt(session, order, event):
        why = f": {attempt.message}" if attempt.message else "."
        note(session, order, Cause.of(event), "attempt-failed", f"A try to pay failed{why}")


@handlers.on("inventory.reservation.oversold")
def review_oversold(event: Event, session: Session) -> None:
    """Paid, but some of it is gone."""
    order = order_of_checkout(session, event, event.data["checkout_id"])
    lines = event.data["lines"]
    detail = "Missing: " + ", ".join(f"{line['missing']} of {line['quantity']} x {line['sku']}" for line in lines) + "."
    missing = {line["sku"]: line["missing"] for line in lines}
    open_review(session, order, "oversold", detail, Cause.of(event), missing=missing)


@handlers.on("stripe.refund.created", "stripe.refund.updated", "stripe.refund.failed", "stripe.charge.refund.updated")
def book_refund(event: Event, session: Session) -> None:
    """Money goes back, by our request or from Stripe's dashboard."""
    if order := order_of_money(session, event):
        record_refund(session, order, event.object, Cause.of(event))


@handlers.on(
    "stripe.charge.dispute.created",
    "stripe.charge.dispute.updated",
    "stripe.charge.dispute.closed",
    "stripe.charge.dispute.funds_withdrawn",
    "stripe.charge.dispute.funds_reinstated",
)
def book_dispute(event: Event, session: Session) -> None:
    """The customer's bank wants the money back, or asks whether it should."""
    if order := order_of_money(session, event):
        record_dispute(session, order, event.object, Cause.of(event))


def _take_money(session: Session, order: Order, payment: Payment, event: Event) -> None:
    _remember_intent(order, payment.id)
    if payment.succeed():
        derive_sums(order)
        note(session, order, Cause.of(event), "payment-succeeded", f"Stripe took {_amount(payment)} ({payment.id}).")


def _remember_intent(order: Order, payment_intent: str | None) -> None:
    order.payment_intent = order.payment_intent or payment_intent


def _amount(payment: Payment) -> str:
    return amount_text(payment.amount, payment.currency)
