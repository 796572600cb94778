"""What events mean for an order."""

from events.envelope import Event
from events.handlers import Handlers
from sqlalchemy.orm import Session

from orders import guards
from orders.announcements import announce, note, open_review
from orders.lookup import make_order, order_of_checkout, order_of_metadata, order_of_money, order_of_session
from orders.models import Order
from orders.payments import payment_of_intent, payment_of_session, record_attempt

handlers = Handlers()


@handlers.on("checkout.session.started", unblocks=True)
def open_order(event: Event, session: Session) -> None:
    order = make_order(session, event)
    if order is not None:
        note(session, order, event, "started", "The customer went to pay.")


@handlers.on("checkout.session.canceled")
def cancel_order(event: Event, session: Session) -> None:
    """The customer gave up."""
    order = order_of_checkout(session, event, event.data["checkout_id"])
    if order.cancel(event.occurred_at):
        note(session, order, event, "canceled", "The customer gave up.")
        announce(session, order, "orders.order.canceled", event)


@handlers.on("stripe.checkout.session.completed")
def complete_session(event: Event, session: Session) -> None:
    """The customer finished; only a delayed payment method leaves the session unpaid then."""
    if event.object["payment_status"] == "unpaid":
        await_payment(event, session)
    else:
        record_payment(event, session)


def await_payment(event: Event, session: Session) -> None:
    order = order_of_session(session, event)
    _meet_customer(order, event)
    payment_of_session(session, order, event)
    _remember_intent(order, event.object.get("payment_intent"))
    if order.await_payment(event.occurred_at):
        note(session, order, event, "payment-pending", "The customer finished; the money is on its way.")
        announce(session, order, "orders.payment.pending", event)


@handlers.on("stripe.checkout.session.async_payment_succeeded")
def record_payment(event: Event, session: Session) -> None:
    """The session is paid: fulfil, unless something does not fit; then a person decides first."""
    order = order_of_session(session, event)
    _meet_customer(order, event)
    payment = payment_of_session(session, order, event)
    if not payment.settle(event.occurred_at):
        return
    if not order.pay(event.occurred_at):
        detail = f"Paid again, with {payment.id}: {payment.amount} {payment.currency}."
        open_review(session, order, "duplicate-payment", detail, event)
        return
    order.session_id = event.object["id"]
    order.payment_intent = event.object.get("payment_intent") or order.payment_intent
    note(session, order, event, "paid", f"Paid: {payment.amount} {payment.currency}.")
    if review := guards.review(order, event):
        open_review(session, order, *review, event)
    elif not order.needs_review:
        announce(session, order, "orders.order.paid", event)


@handlers.on("stripe.checkout.session.async_payment_failed")
def fail_payment(event: Event, session: Session) -> None:
    order = order_of_session(session, event)
    _meet_customer(order, event)
    payment_of_session(session, order, event).fail()
    _remember_intent(order, event.object.get("payment_intent"))
    if order.fail(event.occurred_at):
        note(session, order, event, "payment-failed", "The delayed payment failed.")
        announce(session, order, "orders.payment.failed", event)


@handlers.on("stripe.checkout.session.expired")
def expire_order(event: Event, session: Session) -> None:
    """Nobody paid in time."""
    order = order_of_session(session, event)
    _meet_customer(order, event)
    recovery = (event.object.get("after_expiration") or {}).get("recovery") or {}
    order.recovery_url = order.recovery_url or recovery.get("url")
    if order.expire(event.occurred_at):
        note(session, order, event, "expired", "The session ended unpaid.")
        announce(session, order, "orders.order.expired", event, recovery_url=order.recovery_url)


@handlers.on("stripe.payment_intent.succeeded")
def remember_intent(event: Event, session: Session) -> None:
    """The money moved; whether it pays the order is for the session to tell, which bears the agreed amounts."""
    order = order_of_metadata(session, event)
    _remember_intent(order, event.object["id"])
    if payment_of_intent(session, order, event).succeed():
        note(session, order, event, "payment-succeeded", f"Stripe took the money with {event.object['id']}.")


@handlers.on("stripe.payment_intent.payment_failed", "stripe.charge.failed")
def remember_attempt(event: Event, session: Session) -> None:
    """A declined card is not an end: the customer may try again in the same session."""
    order = order_of_metadata(session, event)
    if record_attempt(session, order, event):
        note(session, order, event, "attempt-failed", "A try to pay failed.")


@handlers.on("inventory.reservation.oversold")
def review_oversold(event: Event, session: Session) -> None:
    """Paid, but some of it is gone."""
    order = order_of_checkout(session, event, event.data["checkout_id"])
    missing = ", ".join(f"{line['missing']} of {line['quantity']} x {line['sku']}" for line in event.data["lines"])
    open_review(session, order, "oversold", f"Missing: {missing}.", event)


@handlers.on(
    "stripe.charge.succeeded",
    "stripe.charge.refunded",
    "stripe.charge.refund.updated",
    "stripe.charge.dispute.created",
    "stripe.charge.dispute.updated",
    "stripe.charge.dispute.closed",
    "stripe.charge.dispute.funds_withdrawn",
    "stripe.charge.dispute.funds_reinstated",
    "stripe.refund.created",
    "stripe.refund.updated",
    "stripe.refund.failed",
)
def note_money(event: Event, session: Session) -> None:
    """What else happened to the money of an order stands on its timeline."""
    order = order_of_money(session, event)
    _remember_intent(order, event.object.get("payment_intent"))
    obj = event.object
    text = f"{obj['id']}: {obj.get('amount')} {obj.get('currency')}, {obj.get('status')}."
    note(session, order, event, event.type, text)


def _meet_customer(order: Order, event: Event) -> None:
    details = event.object.get("customer_details") or {}
    order.meet_customer(details.get("email"), details.get("name"))


def _remember_intent(order: Order, payment_intent: str | None) -> None:
    order.payment_intent = order.payment_intent or payment_intent
