"""Shipping: what of an order has left, what is left, and telling the customer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.clock import utcnow
from events.messaging.event import new_id
from events.web.idempotency import fingerprint, key_reused
from events.web.problems import Problem, invalid_request
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.announcements import Cause, announce, note
from orders.models import PAID, Order, RefundIntention, Review, Shipment
from orders.models.orders import FULFILLED, FULL, PARTIAL, UNFULFILLED
from orders.shares import pieces_of, returning_pieces


@dataclass(frozen=True)
class Parcel:
    """What the operator's request says. No lines: all that is left."""

    carrier: str | None = None
    tracking: str | None = None
    tracking_url: str | None = None
    lines: Sequence[Mapping[str, Any]] = ()


def ship(session: Session, order: Order, parcel: Parcel, key: str | None, actor: str) -> Shipment:
    """The shipment of this parcel; a repeat under the same key is the same one. Raises `Problem` 409 or 422."""
    if key and (found := _shipped_before(session, order, parcel, key)):
        return found
    _check_may_ship(session, order)
    pieces = _pieces(session, order, parcel)
    shipment_id = new_id("shp")
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()]
    shipment = Shipment(
        id=shipment_id,
        order_id=order.id,
        idempotency_key=key or shipment_id,
        fingerprint=fingerprint(parcel),
        carrier=parcel.carrier,
        tracking=parcel.tracking,
        tracking_url=parcel.tracking_url,
        lines=lines,
        shipped_by=actor,
        shipped_at=utcnow(),
    )
    session.add(shipment)
    derive_fulfillment(session, order)
    cause = Cause(shipment_id, shipment.shipped_at)
    what = ", ".join(f"{line['quantity']} x {line['sku']}" for line in lines)
    with_whom = f" with {parcel.carrier}" if parcel.carrier else ""
    tracked = f", {parcel.tracking}" if parcel.tracking else ""
    note(session, order, cause, "shipped", f"{actor} shipped {what}{with_whom}{tracked}.")
    told = {"carrier": parcel.carrier, "tracking": parcel.tracking, "tracking_url": parcel.tracking_url}
    complete = order.fulfillment_status == FULFILLED
    announce(
        session,
        order,
        "orders.order.shipped",
        cause,
        shipment_id=shipment_id,
        **told,
        shipped=lines,
        is_complete=complete,
    )
    return shipment


def derive_fulfillment(session: Session, order: Order) -> None:
    """Whole once every piece has shipped, or was refunded and stays with the shop."""
    session.flush()
    if not _shipped(session, order):
        order.fulfillment_status = UNFULFILLED
    else:
        order.fulfillment_status = PARTIAL if left_to_ship(session, order) else FULFILLED


def left_to_ship(session: Session, order: Order) -> dict[str, int]:
    """Pieces by sku that the customer is still owed: neither shipped, nor refunded to go back to the shelf."""
    session.flush()
    intentions = session.scalars(select(RefundIntention).where(RefundIntention.order_id == order.id))
    left = _bought(order)
    left.subtract(_shipped(session, order))
    left.subtract(returning_pieces(intentions))
    return {sku: quantity for sku, quantity in left.items() if quantity > 0}


def owed(session: Session, order: Order) -> dict[str, int]:
    """Pieces by sku that are paid for and are to ship."""
    if order.status != PAID or order.refund_status == FULL or _held_by(session, order):
        return {}
    return left_to_ship(session, order)


def _pieces(session: Session, order: Order, parcel: Parcel) -> Mapping[str, int]:
    if not parcel.lines:
        if left := left_to_ship(session, order):
            return left
        raise Problem(409, "nothing-to-ship", f"Nothing of order {order.number} is left to ship.")
    bought, left, wanted = _bought(order), _bought(order), pieces_of(parcel.lines)
    left.subtract(_shipped(session, order))
    if not any(quantity > 0 for quantity in left.values()):
        raise Problem(409, "nothing-to-ship", f"Nothing of order {order.number} is left to ship.")
    errors = {
        number: {"sku": ["Not in this order."]}
        if line["sku"] not in bought
        else {"quantity": [f"Only {left[line['sku']]} of {bought[line['sku']]} have not shipped yet."]}
        for number, line in enumerate(parcel.lines)
        if wanted[line["sku"]] > left[line["sku"]]
    }
    if errors:
        raise invalid_request(lines=errors)
    return wanted


def _check_may_ship(session: Session, order: Order) -> None:
    if order.status != PAID:
        raise Problem(
            409, "order-not-paid", f"Order {order.number} is {order.status}: nothing ships before it is paid."
        )
    if order.needs_review:
        detail = f"Order {order.number} needs a decision first ({order.review_reason}): {order.review_detail}"
        raise Problem(409, "order-needs-review", detail)
    if held := _held_by(session, order):
        detail = f"{held.resolved_by} has decided that this order does not ship ({held.decision}, {held.reason})."
        raise Problem(409, "order-held", detail)
    if order.refund_status == FULL:
        raise Problem(409, "order-refunded", f"Order {order.number} is refunded in full: nothing is owed.")


def _shipped_before(session: Session, order: Order, parcel: Parcel, key: str) -> Shipment | None:
    same_key = select(Shipment).where(Shipment.order_id == order.id, Shipment.idempotency_key == key)
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(parcel):
        raise key_reused()
    return found


def _shipped(session: Session, order: Order) -> Counter[str]:
    shipments = session.scalars(select(Shipment).where(Shipment.order_id == order.id))
    return pieces_of(line for shipment in shipments for line in shipment.lines)


def _bought(order: Order) -> Counter[str]:
    bought: Counter[str] = Counter()
    for line in order.lines:
        bought[line.sku] += line.quantity
    return bought


def _held_by(session: Session, order: Order) -> Review | None:
    reviews = session.scalars(select(Review).where(Review.order_id == order.id))
    return next((review for review in reviews if review.holds), None)
