"""What orders does about each event. Facts are recorded under the order's row lock; each is announced once."""

from datetime import datetime
from typing import Any

from events import outbox
from events.database import insert_once, lock
from events.envelope import Event
from events.errors import Ignored, NotYet
from events.handlers import Handlers
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.guards import mismatches
from orders.models import Order, OrderSession, Payment, PaymentAttempt, TimelineEntry

handlers = Handlers()
SETTLED = ("paid", "no_payment_required")


@handlers.on("checkout.session.started", unblocks=True)
def open_order(event: Event, session: Session) -> None:
    started = event.data
    if _find(session, Order.checkout_id == started["checkout_id"]) is not None:
        return
    order = Order.opened(started, event.occurred_at)
    session.add(order)
    session.flush()
    insert_once(session, OrderSession, session_id=order.session_id, order_id=order.id)
    _note(session, order, event, "Checkout started")


@handlers.on("checkout.session.canceled")
def record_cancellation(event: Event, session: Session) -> None:
    order = _order_of(session, event.data["checkout_id"])
    if order.learn("canceled_at", event.occurred_at) and order.status == "canceled":
        _announce(session, "orders.order.canceled", order, event)
        _note(session, order, event, "The customer gave up")


@handlers.on("stripe.checkout.session.completed")
def record_completion(event: Event, session: Session) -> None:
    if event.object["payment_status"] in SETTLED:
        record_payment(event, session)
    else:
        record_pending_payment(event, session)


@handlers.on("stripe.checkout.session.async_payment_succeeded")
def record_payment(event: Event, session: Session) -> None:
    paid = event.object
    order = _order_of_session(session, event)
    payment_id = paid.get("payment_intent") or paid["id"]
    insert_once(
        session,
        Payment,
        id=payment_id,
        order_id=order.id,
        amount=paid["amount_total"],
        currency=paid["currency"],
        recorded_at=event.occurred_at,
    )
    _take_customer(order, paid)
    if not order.learn("paid_at", event.occurred_at):
        return
    order.payment_intent = paid.get("payment_intent")
    _note(session, order, event, f"Paid {paid['amount_total']} {paid['currency']} (minor units)")
    problem = next(mismatches(order, paid, event.headers.get("account")), None)
    if problem:
        _open_review(session, order, event, *problem)
    elif not order.needs_review:
        _announce(session, "orders.order.paid", order, event)


def record_pending_payment(event: Event, session: Session) -> None:
    """A delayed method: the customer is done, the money is on its way."""
    order = _order_of_session(session, event)
    _take_customer(order, event.object)
    if order.learn("pending_at", event.occurred_at) and order.status == "payment_pending":
        order.payment_intent = event.object.get("payment_intent")
        _announce(session, "orders.payment.pending", order, event)
        _note(session, order, event, "Payment pending: the money is on its way")


@handlers.on("stripe.checkout.session.async_payment_failed")
def record_failure(event: Event, session: Session) -> None:
    order = _order_of_session(session, event)
    _take_customer(order, event.object)
    if order.learn("failed_at", event.occurred_at) and order.status == "payment_failed":
        _announce(session, "orders.payment.failed", order, event)
        _note(session, order, event, "The delayed payment failed")


@handlers.on("stripe.checkout.session.expired")
def record_expiry(event: Event, session: Session) -> None:
    expired = event.object
    order = _order_of_session(session, event)
    _take_customer(order, expired)
    if order.learn("expired_at", event.occurred_at) and order.status == "expired":
        recovery = (expired.get("after_expiration") or {}).get("recovery") or {}
        _announce(session, "orders.order.expired", order, event, recovery_url=recovery.get("url"))
        _note(session, order, event, "Expired unpaid")


@handlers.on("stripe.payment_intent.payment_failed")
def record_attempt(event: Event, session: Session) -> None:
    """An attempt, not an end: the customer may try again in the same session."""
    order = _order_of_payment(session, event)
    error = event.object.get("last_payment_error") or {}
    code = error.get("decline_code") or error.get("code")
    attempt = error.get("charge") or event.id  # Stripe may describe one attempt by two events
    insert_once(session, PaymentAttempt, id=attempt, order_id=order.id, at=event.occurred_at, code=code)
    _note(session, order, event, f"A payment attempt failed: {code or 'no reason given'}")


@handlers.on("stripe.payment_intent.succeeded", "stripe.charge.succeeded")
def note_payment(event: Event, session: Session) -> None:
    """The money's own events: the session's say what the shop must do, these are only noted."""
    order = _order_of_payment(session, event)
    order.payment_intent = order.payment_intent or _payment_intent(event)
    _note(session, order, event, f"{event.type} {event.object['id']}")


@handlers.on(
    "stripe.charge.refunded",
    "stripe.charge.refund.updated",
    "stripe.refund.created",
    "stripe.refund.updated",
    "stripe.refund.failed",
    "stripe.charge.dispute.created",
    "stripe.charge.dispute.updated",
    "stripe.charge.dispute.closed",
    "stripe.charge.dispute.funds_withdrawn",
    "stripe.charge.dispute.funds_reinstated",
)
def note_reversal(event: Event, session: Session) -> None:
    """Refunds and disputes stand in the timeline; they are not booked yet."""
    order = _order_of_payment(session, event)
    _note(session, order, event, f"{event.type} {event.object['id']}: {event.object.get('amount')}")


@handlers.on("inventory.reservation.oversold")
def review_oversold(event: Event, session: Session) -> None:
    order = _order_of(session, event.data["checkout_id"])
    missing = ", ".join(f"{line['missing']} of {line['quantity']} {line['sku']}" for line in event.data["lines"])
    _open_review(session, order, event, "oversold", f"paid, but not in stock: {missing}")


def _order_of_session(session: Session, event: Event) -> Order:
    """The order of a Stripe session of ours; remembers a session that it did not know (a recovered cart)."""
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if not checkout_id:
        raise Ignored("not a session of this shop: no metadata.checkout_id")
    order = _order_of(session, checkout_id)
    if insert_once(session, OrderSession, session_id=event.object["id"], order_id=order.id):
        order.session_id = event.object["id"]
    return order


def _order_of_payment(session: Session, event: Event) -> Order:
    """The order of a payment's event, by its metadata or, where Stripe does not copy that, by the payment intent."""
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if checkout_id:
        return _order_of(session, checkout_id)
    intent = _payment_intent(event)
    order = _find(session, Order.payment_intent == intent) if intent else None
    if order is None:
        raise Ignored("not a payment of this shop: no metadata.checkout_id and no order with its payment intent")
    return order


def _payment_intent(event: Event) -> str | None:
    field = "id" if event.object.get("object") == "payment_intent" else "payment_intent"
    found: str | None = event.object.get(field)
    return found


def _order_of(session: Session, checkout_id: str) -> Order:
    order = _find(session, Order.checkout_id == checkout_id)
    if order is None:
        raise NotYet(f"no order for {checkout_id}: its checkout.session.started has not arrived")
    return order


def _find(session: Session, condition: Any) -> Order | None:
    return session.scalar(lock(session, select(Order).where(condition)))


def _take_customer(order: Order, stripe_session: dict[str, Any]) -> None:
    details = stripe_session.get("customer_details") or {}
    order.customer_email = details.get("email") or order.customer_email or stripe_session.get("customer_email")
    order.customer_name = details.get("name") or order.customer_name


def _open_review(session: Session, order: Order, event: Event, reason: str, detail: str) -> None:
    if order.open_review(reason, detail):
        _announce(session, "orders.review.opened", order, event, reason=reason, detail=detail)
        _note(session, order, event, f"Needs review: {detail}", kind="review")


def _announce(session: Session, event_type: str, order: Order, cause: Event, **more: Any) -> None:
    at: datetime = cause.occurred_at
    data = order.snapshot(at) | more
    outbox.add(session, event_type, data, correlation_id=order.checkout_id, causation=cause)


def _note(session: Session, order: Order, event: Event, text: str, kind: str | None = None) -> None:
    values = {"order_id": order.id, "event_id": event.id, "kind": kind or event.type, "at": event.occurred_at}
    insert_once(session, TimelineEntry, text=text, **values)
