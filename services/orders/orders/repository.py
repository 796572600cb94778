"""Queries that find, lock and create orders.

An order is locked before its facts are recorded, so that transactions record them one after the other.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from events.clock import utcnow
from events.database.email_keys import email_key
from events.database.transaction import defer_insert, for_update, insert_new, insert_once, lock_rows
from events.errors import Ignored, NotYet
from events.messaging.event import Event
from events.messaging.session_payment import check_account
from sqlalchemy import ColumnElement, Select, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from orders.errors import OrderNotFoundError
from orders.models.doubted_checkouts import DoubtedCheckout
from orders.models.orders import Order, OrderLine, OrderSession, OrderStatus
from orders.models.payments import Payment
from orders.stripe_objects import checkout_id_of
from orders.unmatched_events import lock_payment_ids, park_if_unmatched

NUMBER_ALPHABET = (
    "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, without I, L, O, U: numbers are read out on the phone
)
NUMBER_PREFIX = "CL-"
NUMBER_CHARACTERS = 8  # characters of 5 bits each: 40 bits of a hash
NUMBER_ATTEMPTS = 3  # with 40 bits, another order seldom has the first number
Relation = InstrumentedAttribute[Any]
RARELY_BEFORE_PAYMENT: Sequence[Relation] = (  # what a payment's handler reads, and most orders have none of by then
    *(Order.refunds, Order.refund_requests, Order.reviews, Order.shipments),
    Order.stock_doubt,
)
NONE_AT_FIRST: Sequence[Relation] = (  # a new order has no such rows, because they refer to it
    *(Order.payments, Order.refunds, Order.refund_requests, Order.reviews, Order.shipments),
)
PAYING_TYPES = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
AMOUNT_FIELDS = ("currency", "amount_subtotal", "amount_discount", "amount_shipping", "amount_total")


def lock_orders(session: Session, events: Collection[Event]) -> None:
    """Lock the orders of a batch of events, and load the rows that their handlers read.

    Refund, dispute and Radar events name only their payment. If several of these payments have no order yet, lock the
    ids of these payments, too.
    """
    checkout_ids = {event.correlation_id for event in events if event.correlation_id}
    named = (event.object.get("payment_intent") for event in events if not event.correlation_id)
    payment_ids = {payment_id for payment_id in named if isinstance(payment_id, str)}
    known = _checkout_ids_by_payment(session, payment_ids)
    checkout_ids.update(known.values())
    options = [selectinload(Order.payments)]
    orders = lock_rows(session, Order, checkout_ids, by=Order.checkout_id, options=options).values()
    is_paying = any(event.type in PAYING_TYPES for event in events)
    _load_rare(session, orders, RARELY_BEFORE_PAYMENT if is_paying else (Order.refunds,))
    if len(unmatched := payment_ids - known.keys()) > 1:  # a single lock cannot deadlock, and its handler takes it
        lock_payment_ids(session, unmatched)


def _load_rare(session: Session, orders: Collection[Order], relations: Sequence[Relation]) -> None:
    """Load relations of which most orders have no row: one query asks which orders have some, others read those."""
    by_id, having = {order.id: order for order in orders}, set()
    for order_id, *found in session.execute(_find_related(relations), {"ids": [*by_id]}) if by_id else ():
        for relation, is_there in zip(relations, found, strict=True):
            if is_there:
                having.add(order_id)
            elif relation.key not in by_id[order_id].__dict__:  # not loaded or changed before
                set_committed_value(by_id[order_id], relation.key, [] if relation.property.uselist else None)
    if having:
        loaded = select(Order).where(Order.id.in_(having)).options(*map(selectinload, relations))
        session.scalars(loaded).all()


@cache
def _find_related(relations: Sequence[Relation]) -> Select[*tuple[Any, ...]]:
    """Return the query of the orders with `ids`: each with True or False for each relation, if it has rows of it."""
    columns: list[Any] = [
        Order.id,
        *(relation.any() if relation.property.uselist else relation.has() for relation in relations),
    ]
    return select(*columns).where(Order.id.in_(bindparam("ids", expanding=True)))


def _checkout_ids_by_payment(session: Session, payment_ids: Collection[str]) -> Mapping[str, str]:
    """Return checkout ids by payment id, for the known payments."""
    if not payment_ids:
        return {}
    statement = select(Payment.id, Order.checkout_id).join(Order, Payment.order_id == Order.id)
    return {row.id: row.checkout_id for row in session.execute(statement.where(Payment.id.in_(payment_ids)))}


def has_id_or_number(id_or_number: str) -> ColumnElement[bool]:
    """Return the SQL condition that an order has this id (`ord_…`) or this number (`CL-…`, also in lower case)."""
    is_number = id_or_number.upper().startswith(NUMBER_PREFIX)
    return Order.number == id_or_number.upper() if is_number else Order.id == id_or_number


def lock_order(session: Session, id_or_number: str) -> Order:
    """Lock and return the order with this id or number. Raises `OrderNotFoundError`."""
    order = session.scalar(for_update(session, select(Order).where(has_id_or_number(id_or_number))))
    if order is None:
        raise OrderNotFoundError(id_or_number)
    return order


def get_order_by_checkout(session: Session, event: Event, checkout_id: str) -> Order:
    """Lock and return the order of a checkout. Raises `NotYet` before checkout.checkout.started has arrived."""
    order = lock_rows(session, Order, [checkout_id], by=Order.checkout_id).get(checkout_id)
    if order is None:
        raise NotYet(f"{event.type}: no order for {checkout_id} yet")
    return order


def get_order_by_metadata(session: Session, event: Event) -> Order:
    """Lock and return the order that the event's object names in its metadata.

    The metadata of every object that our shop creates at Stripe has the checkout's id. Raises `Ignored` for an object
    without this id or of a connected account (except a paid session), and `NotYet` before the order exists.
    """
    check_account(event)
    checkout_id = checkout_id_of(event.object)
    if not checkout_id:
        raise Ignored("the object's metadata has no checkout_id: another system made it")
    return get_order_by_checkout(session, event, checkout_id)


def record_session(session: Session, event: Event) -> Order:
    """Lock and return the order of a Checkout Session, and store the session's id if it is new.

    A recovered cart is a new session of an old order. Raises the errors of `get_order_by_metadata`.
    """
    order = get_order_by_metadata(session, event)
    if event.object["id"] != order.session_id:  # the order's own session is stored
        defer_insert(session, OrderSession, session_id=event.object["id"], order_id=order.id)
    return order


def get_order_or_park(session: Session, event: Event) -> Order | None:
    """Lock and return the order of a refund, dispute or Radar event, by its payment.

    If the payment is not known and the event names no checkout, park the event (`unmatched_events`) and return None.
    For an event of a connected account, only the payment counts, not a checkout in the metadata. Raises `Ignored` for
    an event without a payment intent, and `NotYet` before the order of the named checkout exists.
    """
    payment_id = event.object.get("payment_intent")
    if not payment_id:
        raise Ignored("the object has no payment intent: another system made it")
    if order := _lock_order_by_payment(session, payment_id):
        return order
    checkout_id = checkout_id_of(event.object)
    if checkout_id and not event.headers.get("account"):
        return get_order_by_checkout(session, event, checkout_id)
    return None if park_if_unmatched(session, event, payment_id) else _lock_order_by_payment(session, payment_id)


def record_stock_doubt(session: Session, event: Event, checkout_id: str) -> None:
    """Store that the reserved pieces of a checkout may be gone, even if its order does not exist yet.

    Raises `Ignored` if the order is published as paid already.
    """
    order = lock_rows(session, Order, [checkout_id], by=Order.checkout_id).get(checkout_id)
    if order is not None and order.paid_published_at is not None:
        raise Ignored("the order is published as paid: missing pieces open a review")
    insert_once(session, DoubtedCheckout, checkout_id=checkout_id, doubted_at=event.occurred_at)
    if order is not None:
        session.expire(order, ["stock_doubt"])  # the batch has read the order before


def create_order(session: Session, event: Event) -> Order | None:
    """Create and return the order of a started checkout; return None if the order exists.

    Its id and number are derived from the checkout id. So an order that is created again, after a restored backup,
    has the id and number that the customer and the other services know.
    """
    started = event.data
    checkout_id, email = started["checkout_id"], started["customer_email"]
    values = {
        "id": f"ord_{checkout_id.removeprefix('chk_')}",
        "checkout_id": checkout_id,
        "session_id": started["session_id"],
        "livemode": started["livemode"],
        **{name: started[name] for name in AMOUNT_FIELDS},
        "customer_email": email,
        "customer_email_key": email_key(email) if email else None,
        "locale": started["locale"],
        "promotion_codes": started["promotion_codes"],
        "needs_address": started["needs_shipping"],
        "shipping_offers": started["shipping_options"],
        "status": OrderStatus.OPEN,
        "needs_review": False,
        "started_at": event.occurred_at,
        "created_at": utcnow(),
        "updated_at": utcnow(),
    }
    opened = (
        insert_new(session, Order, by=Order.checkout_id, number=number, **values) for number in _numbers(checkout_id)
    )
    order = next(filter(None, opened), None)
    if order is None:
        existing = get_order_by_checkout(session, event, checkout_id)
        defer_insert(session, OrderSession, session_id=started["session_id"], order_id=existing.id)
        return None
    lines = [OrderLine(order_id=order.id, position=position, **line) for position, line in enumerate(started["lines"])]
    session.add_all(lines)
    set_committed_value(order, Order.lines.key, lines)
    for relation in NONE_AT_FIRST:
        set_committed_value(order, relation.key, [])
    defer_insert(session, OrderSession, session_id=order.session_id, order_id=order.id)
    return order


def _numbers(checkout_id: str) -> Iterator[str]:
    """Yield the order numbers to try, because another order may have the first one."""
    for salt in range(NUMBER_ATTEMPTS):
        digest = hashlib.sha256(f"{checkout_id}/{salt}".encode()).digest()
        yield NUMBER_PREFIX + "".join(
            NUMBER_ALPHABET[byte % len(NUMBER_ALPHABET)] for byte in digest[:NUMBER_CHARACTERS]
        )


def _lock_order_by_payment(session: Session, payment_id: str) -> Order | None:
    paid = select(Order).where(Order.id.in_(select(Payment.order_id).where(Payment.id == payment_id)))
    return session.scalar(for_update(session, paid))
