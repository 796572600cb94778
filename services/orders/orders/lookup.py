"""Which order an event is about: found and locked, so that its facts are recorded one after the other."""

import hashlib
from collections.abc import Collection, Iterator, Mapping

from events.clock import utcnow
from events.database.transaction import defer_insert, for_update, insert_once, lock_rows
from events.errors import Ignored, NotYet
from events.messaging.event import Event
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from orders.models import OPEN, Order, OrderLine, OrderSession, Payment
from orders.strays import is_stray, serialize

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: an order's number is read out on the phone
AMOUNTS = ("currency", "amount_subtotal", "amount_discount", "amount_shipping", "amount_total")


def lock_orders(session: Session, events: Collection[Event]) -> None:
    """The orders of a batch, with the money that is known of them. Some events name their payment alone."""
    checkouts = {event.correlation_id for event in events if event.correlation_id}
    named = (event.object.get("payment_intent") for event in events if not event.correlation_id)
    known = _paid_with(session, intents := {intent for intent in named if isinstance(intent, str)})
    checkouts.update(known.values())
    money = (selectinload(Order.payments), selectinload(Order.refunds))
    lock_rows(session, Order, checkouts, by=Order.checkout_id, options=money)
    if len(strays := intents - known.keys()) > 1:  # one alone is in nobody's way
        serialize(session, strays)


def _paid_with(session: Session, payment_ids: Collection[str]) -> Mapping[str, str]:
    """Checkout id by payment id, of those payments that are known."""
    if not payment_ids:
        return {}
    statement = select(Payment.id, Order.checkout_id).join(Order, Payment.order_id == Order.id)
    return {row.id: row.checkout_id for row in session.execute(statement.where(Payment.id.in_(payment_ids)))}


def order_of_checkout(session: Session, event: Event, checkout_id: str) -> Order:
    """Raises `NotYet`: the announcement of this checkout is still on its way."""
    order = lock_rows(session, Order, [checkout_id], by=Order.checkout_id).get(checkout_id)
    if order is None:
        raise NotYet(f"{event.type}: no order for {checkout_id} yet")
    return order


def order_of_metadata(session: Session, event: Event) -> Order:
    """By the checkout id that our checkout put on everything it made at Stripe."""
    checkout_id = _checkout_id(event)
    if not checkout_id:
        raise Ignored("not made by our checkout: no metadata.checkout_id")
    return order_of_checkout(session, event, checkout_id)


def order_of_session(session: Session, event: Event) -> Order:
    """The order of a Checkout Session, which it remembers: a recovered cart is a new session of an old order."""
    order = order_of_metadata(session, event)
    if event.object["id"] != order.session_id:  # that one is remembered
        defer_insert(session, OrderSession, session_id=event.object["id"], order_id=order.id)
    return order


def order_of_money(session: Session, event: Event) -> Order | None:
    """Of a refund or dispute, by its payment; None if the payment is not known (yet) and the event is kept."""
    payment_intent = event.object.get("payment_intent")
    if not payment_intent:
        raise Ignored("of no payment intent: our checkout makes no other payments")
    if order := _order_paid_with(session, payment_intent):
        return order
    if checkout_id := _checkout_id(event):
        return order_of_checkout(session, event, checkout_id)
    return None if is_stray(session, event, payment_intent) else _order_paid_with(session, payment_intent)


def make_order(session: Session, event: Event) -> Order | None:
    """The order of a checkout that has just started; None if it is known.

    Its id and number follow from the checkout's id: a database that was restored from a backup and told of the checkout
    again makes the order that the customer and the other services know.
    """
    started = event.data
    checkout_id, email = started["checkout_id"], started["customer_email"]
    values = {
        "id": f"ord_{checkout_id.removeprefix('chk_')}",
        "checkout_id": checkout_id,
        "session_id": started["session_id"],
        "livemode": started["livemode"],
        **{name: started[name] for name in AMOUNTS},
        "customer_email": email,
        "customer_email_key": email.lower() if email else None,
        "locale": started["locale"],
        "promotion_codes": started["promotion_codes"],
        "status": OPEN,
        "needs_review": False,
        "started_at": event.occurred_at,
        "created_at": utcnow(),
        "updated_at": utcnow(),
    }
    made = any(insert_once(session, Order, number=number, **values) for number in _numbers(checkout_id))
    order = order_of_checkout(session, event, checkout_id)
    defer_insert(session, OrderSession, session_id=started["session_id"], order_id=order.id)
    if not made:
        return None
    order.lines = [OrderLine(position=position, **line) for position, line in enumerate(started["lines"])]
    return order


def _numbers(checkout_id: str) -> Iterator[str]:
    """Order numbers to try: 40 bits of a hash, so that somebody else may have the first one."""
    for salt in range(3):
        digest = hashlib.sha256(f"{checkout_id}/{salt}".encode()).digest()
        yield "CL-" + "".join(CROCKFORD[byte % 32] for byte in digest[:8])


def _checkout_id(event: Event) -> str | None:
    checkout_id: str | None = (event.object.get("metadata") or {}).get("checkout_id")
    return checkout_id


def _order_paid_with(session: Session, payment_intent: str) -> Order | None:
    paid = select(Order).where(Order.id.in_(select(Payment.order_id).where(Payment.id == payment_intent)))
    return session.scalar(for_update(session, paid))
