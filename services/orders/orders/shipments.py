"""Shipments: which pieces have shipped and which are left, and the event that informs the customer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from events.clock import utcnow
from events.messaging.event import new_id
from events.web.idempotency import fingerprint
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders import errors
from orders.causes import Cause
from orders.models.orders import FulfillmentStatus, Order, OrderRefundStatus, OrderStatus
from orders.models.refunds import RefundRequest
from orders.models.reviews import Review
from orders.models.shipments import Shipment
from orders.models.timeline import EntryKind
from orders.publishing import publish
from orders.refunds.allocation import count_pieces, restocked_pieces
from orders.timeline import add_entry


@dataclass(frozen=True)
class ShipmentParams:
    """The parameters of a shipment. No lines: all pieces that are left."""

    carrier: str | None = None
    tracking: str | None = None
    tracking_url: str | None = None
    lines: Sequence[Mapping[str, Any]] = ()


def ship(session: Session, order: Order, params: ShipmentParams, key: str | None, actor: str) -> Shipment:
    """Add a shipment to the order, its timeline and the outbox. A repeat under the same key returns the same shipment.

    The order must be locked. Raises `KeyReusedError`, the errors of `_check_may_ship`, `NothingToShipError` and
    `InvalidRequestError`.
    """
    if key and (known := _find_shipment(session, order, params, key)):
        return known
    _check_may_ship(session, order)
    pieces = _pieces_to_ship(session, order, params)
    shipment_id = new_id("shp")
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()]
    shipment = Shipment(
        id=shipment_id,
        order_id=order.id,
        idempotency_key=key or shipment_id,
        fingerprint=fingerprint(params),
        carrier=params.carrier,
        tracking=params.tracking,
        tracking_url=params.tracking_url,
        lines=lines,
        shipped_by=actor,
        shipped_at=utcnow(),
    )
    session.add(shipment)
    update_fulfillment(session, order)
    cause = Cause(shipment_id, shipment.shipped_at)
    goods = ", ".join(f"{line['quantity']} x {line['sku']}" for line in lines)
    carrier = f" with {params.carrier}" if params.carrier else ""
    text = f"{actor} shipped {goods}{carrier}{tracking_text(params.tracking)}."
    add_entry(session, order, cause, EntryKind.SHIPPED, text)
    publish(
        session,
        order,
        "orders.order.shipped",
        cause,
        shipment_id=shipment_id,
        carrier=params.carrier,
        tracking=params.tracking,
        tracking_url=params.tracking_url,
        shipped=lines,
        is_complete=order.fulfillment_status == FulfillmentStatus.FULFILLED,
        remaining=[{"sku": sku, "quantity": left} for sku, left in pieces_left_to_ship(session, order).items()],
    )
    return shipment


def tracking_text(tracking: str | None) -> str:
    """Return a tracking number as the timeline has it, with a comma before it; nothing without one."""
    return f", tracking number {tracking}" if tracking else ""


def update_fulfillment(session: Session, order: Order) -> None:
    """Derive the order's fulfillment status again: fulfilled once each piece has shipped or is back on the shelf."""
    session.flush()
    if not _shipped_pieces(session, order):
        order.fulfillment_status = FulfillmentStatus.UNFULFILLED
    elif pieces_left_to_ship(session, order):
        order.fulfillment_status = FulfillmentStatus.PARTIAL
    else:
        order.fulfillment_status = FulfillmentStatus.FULFILLED


def pieces_left_to_ship(session: Session, order: Order) -> dict[str, int]:
    """Return the pieces by sku that have neither shipped nor been refunded with restock."""
    session.flush()
    requests = session.scalars(select(RefundRequest).where(RefundRequest.order_id == order.id))
    left = _bought_pieces(order)
    left.subtract(_shipped_pieces(session, order))
    left.subtract(restocked_pieces(requests))
    return {sku: quantity for sku, quantity in left.items() if quantity > 0}


def pieces_owed(session: Session, order: Order) -> dict[str, int]:
    """Return the pieces by sku that are paid and still have to ship."""
    is_refunded = order.refund_status == OrderRefundStatus.FULL
    if order.status != OrderStatus.PAID or is_refunded or _blocking_review(session, order):
        return {}
    return pieces_left_to_ship(session, order)


def _pieces_to_ship(session: Session, order: Order, params: ShipmentParams) -> Mapping[str, int]:
    if not params.lines:
        if left := pieces_left_to_ship(session, order):
            return left
        raise errors.NothingToShipError(order.number)
    bought, unshipped, requested = _bought_pieces(order), _bought_pieces(order), count_pieces(params.lines)
    unshipped.subtract(_shipped_pieces(session, order))
    if not any(quantity > 0 for quantity in unshipped.values()):
        raise errors.NothingToShipError(order.number)
    found = {
        number: {"sku": ["This order has no such item."]}
        if line["sku"] not in bought
        else {"quantity": [f"Only {unshipped[line['sku']]} of {bought[line['sku']]} can still be shipped."]}
        for number, line in enumerate(params.lines)
        if requested[line["sku"]] > unshipped[line["sku"]]
    }
    if found:
        raise errors.InvalidRequestError(lines=found)
    return requested


def _check_may_ship(session: Session, order: Order) -> None:
    """Raise an error unless the order is paid, not refunded in full, and has no review that prevents shipping."""
    if order.status != OrderStatus.PAID:
        raise errors.OrderNotPaidError(order.number, order.status)
    if order.needs_review:
        raise errors.OrderNeedsReviewError(order.id, order.number, order.review_reason, order.review_detail)
    if review := _blocking_review(session, order):
        raise errors.OrderHeldError(order.number, review.resolved_by, review.decision, review.reason)
    if order.refund_status == OrderRefundStatus.FULL:
        raise errors.OrderRefundedError(order.number)


def _find_shipment(session: Session, order: Order, params: ShipmentParams, key: str) -> Shipment | None:
    same_key = select(Shipment).where(Shipment.order_id == order.id, Shipment.idempotency_key == key)
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(params):
        raise errors.KeyReusedError
    return found


def _shipped_pieces(session: Session, order: Order) -> Counter[str]:
    shipments = session.scalars(select(Shipment).where(Shipment.order_id == order.id))
    return count_pieces(line for shipment in shipments for line in shipment.lines)


def _bought_pieces(order: Order) -> Counter[str]:
    bought: Counter[str] = Counter()
    for line in order.lines:
        bought[line.sku] += line.quantity
    return bought


def _blocking_review(session: Session, order: Order) -> Review | None:
    reviews = session.scalars(select(Review).where(Review.order_id == order.id))
    return next((review for review in reviews if review.blocks_shipping), None)
