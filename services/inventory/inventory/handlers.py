"""What Stripe's and the orders' events mean for the stock."""

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

DELAYED = timedelta(days=14)  # the slowest delayed payment method that Stripe lists takes that long to fail

handlers = Handlers()


@handlers.prepare
def lock_all(events: Sequence[Event], session: Session) -> None:
    """All reservations, then all of their stock: customers, too, take these in this order, and none waits for us in a
    circle.
    """
    checkouts = {event.correlation_id for event in events if event.correlation_id}
    found = transaction.lock_rows(session, Reservation, checkouts).values()
    reservations.shelf(session, {line.sku for reservation in found for line in reservation.lines})


@handlers.on("stripe.checkout.session.completed", unblocks=True)
def commit_or_keep(event: Event, session: Session) -> None:
    """The customer finished: paid or free means sold; a delayed method keeps the pieces until it has ended."""
    reservation = _reservation(event, session)
    if event.object.get("payment_status") == "unpaid":
        reservations.extend(session, reservation, event.occurred_at + DELAYED)
    else:
        reservations.commit(session, reservation, at=event.occurred_at, causation=event)


@handlers.on("stripe.checkout.session.async_payment_succeeded", unblocks=True)
def commit_stock(event: Event, session: Session) -> None:
    reservations.commit(session, _reservation(event, session), at=event.occurred_at, causation=event)


@handlers.on("stripe.checkout.session.async_payment_failed", "stripe.checkout.session.expired")
def release_stock(event: Event, session: Session) -> None:
    """Nobody will pay in this session. What is sold already, in whatever order we are told, stays sold."""
    reservation = reservations.find(session, _checkout_id(event))
    if reservation is None or reservation.status == COMMITTED:
        return
    reservations.release(session, reservation)


@handlers.on("orders.stock.returned")
def take_back(event: Event, session: Session) -> None:
    """A refund with restock, or a review that ended in one: what was sold is for sale again."""
    data = event.data
    returns.take_back(session, data["checkout_id"], data["return_id"], data["lines"], at=event.occurred_at)


@handlers.on(CUSTOMER_ERASED)
def forget_customer(event: Event, session: Session) -> None:
    """Only what Stripe told of her and waits in the inbox: stock and reservations know nobody."""
    erase_inbox(session, event.data["checkout_id"])


def _reservation(event: Event, session: Session) -> Reservation:
    reservation = reservations.find(session, _checkout_id(event))
    if reservation is None:
        raise NotYet(f"no reservation for {_checkout_id(event)}")
    return reservation


def _checkout_id(event: Event) -> str:
    checkout_id = (event.object.get("metadata") or {}).get("checkout_id")
    if not checkout_id:
        raise Ignored("not made by our checkout: no metadata.checkout_id")
    return str(checkout_id)
