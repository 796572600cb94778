"""Forgetting a customer: who she was is erased here and, by an event, in every service. What was bought and paid stays.

One order is one transaction: the inbox and the outbox, the order and what belongs to it, its timeline, the event. A
run that dies between two orders is finished by the next, since the first is no longer found by its address.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from events.database.engine import Database
from events.database.errors import is_conflict
from events.messaging import outbox
from events.messaging.erasure import CUSTOMER_ERASED, erase_inbox, erase_outbox
from events.messaging.event import new_id
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from orders.announcements import Cause, note
from orders.models import OPEN, PENDING, Dispute, Order, Refund, RefundIntention, Review, Shipment, TimelineEntry
from orders.models.money import DISPUTE_OVER
from orders.refunding import locked_order
from orders.search import FILTERS
from orders.shipments import owed

QUOTED = " “"  # begins what an operator wrote, at the end of an entry's text
QUOTING = ("refund-requested", "review-resolved")
MOVING = ("pending", "requires_action")
IN_HAND = "an event of it was being tried again at the same moment: run this once more."


@dataclass(frozen=True)
class Wish:
    """Who wants it and why; `even_open`: also where the data are still needed."""

    by: str
    reason: str | None = None
    even_open: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one order; `needed` says what has to be done before it can be forgotten, if anything has."""

    order_id: str
    number: str
    checkout_id: str
    needed: Sequence[str] = ()


class StillNeeded(Exception):  # noqa: N818 - an outcome
    """Nothing is erased of this order; `needed` says why."""

    def __init__(self, needed: Sequence[str]) -> None:
        self.needed = needed
        super().__init__(" ".join(needed))


def orders_of(database: Database, email: str) -> Sequence[Order]:
    """Those of an address, in whatever case it is written."""
    with database.read() as session:
        return session.scalars(select(Order).where(FILTERS["email"](email.strip())).order_by(Order.id)).all()


def orders_of_checkouts(database: Database, checkout_ids: Sequence[str]) -> Sequence[Order]:
    with database.read() as session:
        return session.scalars(select(Order).where(Order.checkout_id.in_(checkout_ids)).order_by(Order.id)).all()


def preview(database: Database, order: Order, wish: Wish) -> Outcome:
    """What `forget` would do."""
    with database.read() as session:
        needed = () if wish.even_open else tuple(still_needed(session, order))
    return Outcome(order.id, order.number, order.checkout_id, needed)


def forget(database: Database, order: Order, wish: Wish) -> Outcome:
    """Forget the customer of one order, unless her data are still needed; a repeat tells the other services again."""
    try:
        with database.begin() as session:
            current = locked_order(session, order.id)  # first, as whoever handles an event of it does
            erase_inbox(session, order.checkout_id)
            _forget(session, current, wish)
    except StillNeeded as reason:
        return Outcome(order.id, order.number, order.checkout_id, reason.needed)
    except DBAPIError as error:
        if not is_conflict(error):
            raise
        return Outcome(order.id, order.number, order.checkout_id, (IN_HAND,))
    return Outcome(order.id, order.number, order.checkout_id)


def still_needed(session: Session, order: Order) -> Iterator[str]:
    """What is not over about an order, and what to do about it."""
    if order.status == OPEN:
        yield f"it can still be paid: POST /checkout/sessions/{order.checkout_id}/cancel, or wait until that has ended."
    if order.status == PENDING:
        yield "its payment is on its way: wait until it has succeeded or failed."
    if order.needs_review:
        yield f"it needs a decision ({order.review_reason}): POST /orders/{order.id}/review."
    if left := sum(owed(session, order).values()):
        routes = f"ship (POST /orders/{order.id}/shipments) or refund (POST /orders/{order.id}/refunds)"
        yield f"{left} of its pieces are paid for and have not shipped: {routes} them."
    for refund in session.scalars(select(Refund).where(Refund.order_id == order.id, Refund.status.in_(MOVING))):
        yield f"the refund {refund.id} is {refund.status}: wait until it has succeeded or failed."
    for intention in session.scalars(select(RefundIntention).where(RefundIntention.order_id == order.id)):
        if intention.is_asked:
            yield f"Stripe has not answered about the refund {intention.id}: wait until it has."
    running = select(Dispute).where(Dispute.order_id == order.id, Dispute.status.not_in(DISPUTE_OVER))
    for dispute in session.scalars(running):
        yield f"the dispute {dispute.id} is {dispute.status}: answer or accept it in Stripe's dashboard."


def _forget(session: Session, order: Order, wish: Wish) -> None:
    if not wish.even_open and (needed := tuple(still_needed(session, order))):
        raise StillNeeded(needed)
    cause = Cause.now(new_id("fgt"))
    order.forget_customer(cause.at)
    _erase_words(session, order)
    session.flush()
    erase_outbox(session, order.checkout_id)
    why = f" “{wish.reason}”" if wish.reason else ""
    note(session, order, cause, "forgotten", f"{wish.by} had the customer forgotten.{why}")
    told = {"order_id": order.id, "checkout_id": order.checkout_id, "erased_at": order.erased_at}
    outbox.add(session, CUSTOMER_ERASED, told, correlation_id=order.checkout_id)


def _erase_words(session: Session, order: Order) -> None:
    """What people wrote, and what leads to her door at a carrier's. A hash of it goes too: it could be guessed."""
    entries = session.scalars(select(TimelineEntry).where(TimelineEntry.order_id == order.id)).all()
    for shipment in session.scalars(select(Shipment).where(Shipment.order_id == order.id)):
        for entry in entries:
            if entry.event_id == shipment.id and shipment.tracking:
                entry.text = entry.text.replace(f", {shipment.tracking}.", ".")
        shipment.tracking, shipment.tracking_url, shipment.fingerprint = None, None, ""
    for entry in entries:
        if entry.kind in QUOTING:
            entry.text = entry.text.partition(QUOTED)[0]
    for intention in session.scalars(select(RefundIntention).where(RefundIntention.order_id == order.id)):
        intention.note, intention.fingerprint = None, ""
    for review in session.scalars(select(Review).where(Review.order_id == order.id)):
        review.note = None
