"""Erasure of a customer: personal data is removed here and, by an event, in every service. Payments and pieces stay.

One order is one transaction: inbox, outbox, the order with its rows, the timeline and the event. If the command dies
between two orders, the next run erases the rest: an erased order is no longer found by its address.
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

from orders.causes import Cause
from orders.goods import load_goods
from orders.models import disputes
from orders.models.disputes import Dispute
from orders.models.operator_acts import OperatorAct
from orders.models.orders import Order, OrderStatus
from orders.models.refunds import FINAL, Refund, RefundRequest
from orders.models.reviews import Review
from orders.models.shipments import Shipment
from orders.models.timeline import EntryKind, TimelineEntry
from orders.repository import lock_order
from orders.search import FILTERS
from orders.shipments import tracking_text
from orders.timeline import add_entry, format_note, without_note

QUOTING_KINDS = (
    EntryKind.REFUND_REQUESTED,
    EntryKind.REVIEW_RESOLVED,
    EntryKind.CANCELED,
    EntryKind.SHIPPED,
)  # entries that end with an operator's note
CONFLICT = "Another transaction used this order at the same moment, so it was not erased. Run the command again."


@dataclass(frozen=True)
class ErasureRequest:
    """An operator's request to erase a customer. With `even_open`, unfinished orders are erased, too."""

    by: str
    reason: str | None = None
    even_open: bool = False


@dataclass(frozen=True)
class ErasureOutcome:
    """The outcome for one order: refused if there are `blockers`, which say why and what to do first."""

    order_id: str
    order_number: str
    checkout_id: str
    blockers: Sequence[str] = ()


class OrderUnfinishedError(Exception):
    """The order still needs the customer's data. Nothing was erased; `blockers` say why."""

    def __init__(self, blockers: Sequence[str]) -> None:
        self.blockers = blockers
        super().__init__(" ".join(blockers))


def find_by_email(database: Database, email: str) -> Sequence[Order]:
    """Return the orders with this e-mail address, in upper or lower case. Erased orders have no address any more."""
    with database.read() as session:
        return session.scalars(select(Order).where(FILTERS["email"](email.strip())).order_by(Order.id)).all()


def find_by_checkouts(database: Database, checkout_ids: Sequence[str]) -> Sequence[Order]:
    """Return the orders of these checkouts."""
    with database.read() as session:
        return session.scalars(select(Order).where(Order.checkout_id.in_(checkout_ids)).order_by(Order.id)).all()


def preview(database: Database, order: Order, request: ErasureRequest) -> ErasureOutcome:
    """Return the outcome that `erase_customer` would have, and change nothing."""
    with database.read() as session:
        current = session.get_one(Order, order.id)
        blockers = () if request.even_open else tuple(find_blockers(session, current))
    return ErasureOutcome(order.id, order.number, order.checkout_id, blockers)


def erase_customer(database: Database, order: Order, request: ErasureRequest) -> ErasureOutcome:
    """Erase the customer of one order. If there are blockers, change nothing and return them.

    A repeat publishes the erasure event again.
    """
    try:
        with database.begin() as session:
            current = lock_order(session, order.id)  # before the inbox, in the lock order of the workers
            erase_inbox(session, order.checkout_id)
            _erase(session, current, request)
    except OrderUnfinishedError as error:
        return ErasureOutcome(order.id, order.number, order.checkout_id, error.blockers)
    except DBAPIError as error:
        if not is_conflict(error):
            raise
        return ErasureOutcome(order.id, order.number, order.checkout_id, (CONFLICT,))
    return ErasureOutcome(order.id, order.number, order.checkout_id)


def find_blockers(session: Session, order: Order) -> Iterator[str]:
    """Yield a sentence for each reason why the order still needs the customer's data, and what to do about it."""
    if order.status == OrderStatus.OPEN:
        cancel = f"POST /checkout/sessions/{order.checkout_id}/cancel"
        yield f"The order can still be paid. Cancel it with {cancel}, or wait until it expires."
    if order.status == OrderStatus.PAYMENT_PENDING:
        yield "The payment is on its way. Wait until it has succeeded or failed."
    if order.needs_review:
        yield f"The order needs a review ({order.review_reason}). Resolve it with POST /orders/{order.id}/review."
    if left := sum(load_goods(order).owed.values()):
        ship, cancel = f"POST /orders/{order.id}/shipments", f"POST /orders/{order.id}/cancel"
        yield f"Pieces to ship: {left}. Ship them ({ship}), refund them, or cancel the order ({cancel})."
    under_way = select(Refund).where(Refund.order_id == order.id, Refund.status.not_in(FINAL))
    for refund in session.scalars(under_way):
        yield f"The refund {refund.id} is {refund.status}. Wait until it has succeeded or failed."
    for request in session.scalars(select(RefundRequest).where(RefundRequest.order_id == order.id)):
        if request.is_unanswered:
            yield f"Stripe has not answered the refund request {request.id}. Wait until it has."
    not_closed = select(Dispute).where(Dispute.order_id == order.id, Dispute.status.not_in(disputes.CLOSED))
    for dispute in session.scalars(not_closed):
        yield f"The dispute {dispute.id} is {dispute.status}. Answer or accept it at Stripe, and wait until it closes."


def _erase(session: Session, order: Order, request: ErasureRequest) -> None:
    if not request.even_open and (blockers := tuple(find_blockers(session, order))):
        raise OrderUnfinishedError(blockers)
    cause = Cause.now(new_id("ers"))
    order.erase_customer(cause.occurred_at)
    _erase_texts(session, order)
    session.flush()
    erase_outbox(session, order.checkout_id)
    text = f"{request.by} erased the customer's personal data.{format_note(request.reason)}"
    add_entry(session, order, cause, EntryKind.CUSTOMER_ERASED, text)
    erased = {"order_id": order.id, "checkout_id": order.checkout_id, "erased_at": order.erased_at}
    outbox.add(session, CUSTOMER_ERASED, erased, correlation_id=order.checkout_id)


def _erase_texts(session: Session, order: Order) -> None:
    """Erase operators' notes, tracking numbers and links, and the fingerprints from which they could be guessed."""
    entries = session.scalars(select(TimelineEntry).where(TimelineEntry.order_id == order.id)).all()
    for shipment in session.scalars(select(Shipment).where(Shipment.order_id == order.id)):
        for entry in entries:
            if entry.cause_id == shipment.id:
                entry.text = entry.text.replace(f"{tracking_text(shipment.tracking)}.", ".")
        shipment.tracking, shipment.tracking_url, shipment.override, shipment.fingerprint = None, None, None, ""
    for entry in entries:
        if entry.kind in QUOTING_KINDS:
            entry.text = without_note(entry.text)
    for request in session.scalars(select(RefundRequest).where(RefundRequest.order_id == order.id)):
        request.note, request.fingerprint = None, ""
    for act in session.scalars(select(OperatorAct).where(OperatorAct.order_id == order.id)):
        act.fingerprint = ""
    for review in session.scalars(select(Review).where(Review.order_id == order.id)):
        review.note = None
