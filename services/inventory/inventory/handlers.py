"""Handlers: the effects of Stripe's and orders' events on the stock.

| event | effect |
|---|---|
| `stripe.checkout.session.completed` or `.async_payment_succeeded`, paid or free | the reservation is committed |
| the same two, with any other `payment_status` | a payment is under way: the reservation is extended |
| `stripe.checkout.session.async_payment_failed` or `.expired` | released, unless another session is paid or pending |
| `orders.order.shipped` | the pieces no longer wait for their parcel |
| `orders.goods.changed` | pieces that do not ship any more no longer wait for a parcel |
| `orders.stock.returned` | the returned pieces are available again |
| `orders.stock.taken` | pieces whose refund failed leave the stock again |
| `orders.customer.erased` | the customer is erased from stored events |
"""

from collections.abc import Sequence
from functools import partial

from events.database import transaction
from events.errors import Ignored, NotYet
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.session_payment import check_account, is_paid
from sqlalchemy.orm import Session

from inventory import reservations, returns, shipments
from inventory.models import SESSION_EXPIRED, SESSION_FAILED, SESSION_PAID, SESSION_PENDING, Reservation

common = Handlers()  # the handlers that need no setting


@common.prepare
def lock_all(events: Sequence[Event], session: Session) -> None:
    """Lock the reservations of all events, then all their stock: the lock order that prevents deadlocks."""
    checkout_ids = {event.correlation_id for event in events if event.correlation_id}
    found = transaction.lock_rows(session, Reservation, checkout_ids).values()
    reservations.lock_stock(session, {line.sku for reservation in found for line in reservation.lines})


def commit_or_extend(event: Event, session: Session, *, max_percent: int) -> None:
    """Commit the stock of a paid or free checkout; keep it longer while its payment is under way.

    If orders waits for an answer, publish that the stock was taken, right before the transaction commits: until the
    stock is locked, a loss of pieces can still put the checkout in doubt. Raises `NotYet` until the reservation exists.
    """
    reservation, paid = _lock_reservation(event, session), is_paid(event.object)
    _apply(event, session, reservation, SESSION_PAID if paid else SESSION_PENDING, max_percent)
    if paid:
        transaction.before_commit(session, reservations.publish_answers, (reservation, event))


def release_stock(event: Event, session: Session, *, max_percent: int) -> None:
    """Release the stock of a checkout whose session failed or expired, unless another session is paid or pending.

    Sold pieces stay sold, also if events are out of order. Without a reservation, do nothing.
    """
    reservation = reservations.lock_reservation(session, _checkout_id(event))
    if reservation is not None:
        status = SESSION_EXPIRED if event.routing_key.endswith(".expired") else SESSION_FAILED
        _apply(event, session, reservation, status, max_percent)


def _apply(event: Event, session: Session, reservation: Reservation, status: str, max_percent: int) -> None:
    stripe_session = event.object
    reservations.apply_session(
        session,
        reservation,
        stripe_session["id"],
        status,
        stripe_session.get("payment_status"),
        event,
        max_percent=max_percent,
    )


@common.on("orders.order.shipped")
def record_shipment(event: Event, session: Session) -> None:
    """Count the pieces of a parcel as shipped."""
    data = event.data
    shipments.record_shipment(
        session, data["checkout_id"], data["shipment_id"], data["shipped"], occurred_at=event.occurred_at
    )


@common.on("orders.goods.changed")
def record_canceled(event: Event, session: Session) -> None:
    """Record how many pieces do not ship any more. Refunds, failed refunds and cancellations change their number."""
    data = event.data
    shipments.record_canceled(session, data["checkout_id"], data["revision"], data["canceled"])


@common.on("orders.stock.returned")
def record_return(event: Event, session: Session) -> None:
    """Add the pieces of a refund with restock, or of a cancellation, to the stock."""
    data = event.data
    returns.record_return(session, data["checkout_id"], data["return_id"], data["lines"], occurred_at=event.occurred_at)


@common.on("orders.stock.taken")
def take_back_return(event: Event, session: Session) -> None:
    """Take pieces out of the stock again: their refund failed."""
    data = event.data
    returns.take_back(
        session,
        data["checkout_id"],
        data["return_id"],
        data["lines"],
        occurred_at=event.occurred_at,
        causation=event,
    )


@common.on(CUSTOMER_ERASED)
def erase_customer(event: Event, session: Session) -> None:
    """Erase the customer from the inbox. The inventory's other tables have no personal data of customers."""
    erase_inbox(session, event.data["checkout_id"])


def _lock_reservation(event: Event, session: Session) -> Reservation:
    reservation = reservations.lock_reservation(session, _checkout_id(event))
    if reservation is None:
        raise NotYet(f"{_checkout_id(event)} has no reservation yet")
    return reservation


def _checkout_id(event: Event) -> str:
    check_account(event)
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if not checkout_id:
        raise Ignored("the session has no metadata.checkout_id: the checkout service did not create it")
    return str(checkout_id)


def create_handlers(max_percent: int) -> Handlers:
    """Return the service's handlers. `max_percent` is the share of a sku's stock that unpaid checkouts can hold."""
    created = common.without()
    created.on("stripe.checkout.session.completed", "stripe.checkout.session.async_payment_succeeded", unblocks=True)(
        partial(commit_or_extend, max_percent=max_percent)
    )
    created.on("stripe.checkout.session.async_payment_failed", "stripe.checkout.session.expired")(
        partial(release_stock, max_percent=max_percent)
    )
    return created


handlers = create_handlers(max_percent=100)  # without a limit, for a program that has no settings
