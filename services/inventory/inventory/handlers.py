"""Handlers: the effects of Stripe's and orders' events on the stock.

| event | effect |
|---|---|
| `stripe.checkout.session.completed`, paid or free | the reservation is committed |
| `stripe.checkout.session.completed`, unpaid | a delayed payment method: the reservation is extended |
| `stripe.checkout.session.async_payment_succeeded` | the reservation is committed |
| `stripe.checkout.session.async_payment_failed` or `.expired` | the reservation is released |
| `orders.stock.returned` | the returned pieces are available again |
| `orders.customer.erased` | the customer is erased from stored events |
"""

from collections.abc import Sequence
from datetime import timedelta

from events.database import transaction
from events.errors import Ignored, NotYet
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from sqlalchemy.orm import Session

from inventory import reservations, returns
from inventory.models import COMMITTED, Reservation

DELAYED_PAYMENT_TIME = timedelta(days=14)  # the slowest delayed method that Stripe lists can take this long to fail

handlers = Handlers()


@handlers.prepare
def lock_all(events: Sequence[Event], session: Session) -> None:
    """Lock all reservations, then all their stock: the lock order of checkouts, so that no deadlock is possible."""
    checkout_ids = {event.correlation_id for event in events if event.correlation_id}
    found = transaction.lock_rows(session, Reservation, checkout_ids).values()
    reservations.lock_stock(session, {line.sku for reservation in found for line in reservation.lines})


@handlers.on("stripe.checkout.session.completed", unblocks=True)
def commit_or_extend(event: Event, session: Session) -> None:
    """Commit the stock of a paid or free checkout; keep it longer if its payment method is delayed."""
    reservation = _lock_reservation(event, session)
    if event.object.get("payment_status") == "unpaid":
        reservations.extend(session, reservation, event.occurred_at + DELAYED_PAYMENT_TIME)
    else:
        _commit(event, session, reservation)


@handlers.on("stripe.checkout.session.async_payment_succeeded", unblocks=True)
def commit_stock(event: Event, session: Session) -> None:
    """Commit the stock of a checkout whose delayed payment has arrived."""
    _commit(event, session, _lock_reservation(event, session))


@handlers.on("stripe.checkout.session.async_payment_failed", "stripe.checkout.session.expired")
def release_stock(event: Event, session: Session) -> None:
    """Release the stock of a session that will not be paid. Sold pieces stay sold, also if events are out of order."""
    reservation = reservations.lock_reservation(session, _checkout_id(event))
    if reservation is None or reservation.status == COMMITTED:
        return
    reservations.release(session, reservation)


@handlers.on("orders.stock.returned")
def record_return(event: Event, session: Session) -> None:
    """Add the pieces of a refund with restock, or of a review that ended in one, to the stock."""
    data = event.data
    returns.record_return(session, data["checkout_id"], data["return_id"], data["lines"], occurred_at=event.occurred_at)


@handlers.on(CUSTOMER_ERASED)
def erase_customer(event: Event, session: Session) -> None:
    """Erase the customer from the inbox. The inventory's tables have no personal data."""
    erase_inbox(session, event.data["checkout_id"])


def _commit(event: Event, session: Session, reservation: Reservation) -> None:
    """Commit the stock. For a recovered cart publish the result, because orders waits for it."""
    reservations.commit(session, reservation, paid_at=event.occurred_at, causation=event)
    if event.object.get("recovered_from"):
        reservations.publish_committed(session, reservation, event)


def _lock_reservation(event: Event, session: Session) -> Reservation:
    reservation = reservations.lock_reservation(session, _checkout_id(event))
    if reservation is None:
        raise NotYet(f"no reservation for {_checkout_id(event)}")
    return reservation


def _checkout_id(event: Event) -> str:
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if not checkout_id:
        raise Ignored("not from our checkout: no metadata.checkout_id")
    return str(checkout_id)
