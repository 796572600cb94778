"""Shipments: the parcels of an order, and the event that informs the customer of each."""

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
from orders.goods import (
    Goods,
    count_pieces,
    load_goods,
    refunds_cover_payments,
    to_lines,
    update_fulfillment,
)
from orders.holds import Hold, find_hold
from orders.models.orders import FulfillmentStatus, Order
from orders.models.reviews import Review
from orders.models.shipments import Shipment
from orders.models.timeline import EntryKind
from orders.publishing import publish
from orders.timeline import add_entry, format_note


@dataclass(frozen=True)
class ShipmentParams:
    """The parameters of a shipment: `all` that is owed, or `lines`. `override`: why to ship despite a chargeback."""

    all: bool = False
    lines: Sequence[Mapping[str, Any]] = ()
    carrier: str | None = None
    tracking: str | None = None
    tracking_url: str | None = None
    override: str | None = None


def ship(session: Session, order: Order, params: ShipmentParams, key: str | None, actor: str) -> Shipment:
    """Add a shipment to the order, with a timeline entry and an event. Return the known shipment for a repeated key.

    The order must be locked. Raises `KeyReusedError`, `InvalidRequestError`, or the error for the order's hold.
    """
    if key and (known := _find_shipment(session, order, params, key)):
        return known
    update_fulfillment(session, order)
    goods = load_goods(order)
    is_override = _check_may_ship(session, order, params.override)
    lines = to_lines(goods.owed if params.all else _checked_pieces(goods, params.lines))
    shipment_id = new_id("shp")
    shipment = Shipment(
        id=shipment_id,
        order_id=order.id,
        idempotency_key=key or shipment_id,
        fingerprint=fingerprint(params),
        carrier=params.carrier,
        tracking=params.tracking,
        tracking_url=params.tracking_url,
        override=params.override if is_override else None,
        lines=lines,
        shipped_by=actor,
        shipped_at=utcnow(),
    )
    order.shipments.append(shipment)
    update_fulfillment(session, order)
    cause = Cause(shipment_id, shipment.shipped_at)
    pieces = ", ".join(f"{line['quantity']} x {line['sku']}" for line in lines)
    carrier = f" with {params.carrier}" if params.carrier else ""
    text = f"{actor} shipped {pieces}{carrier}{tracking_text(params.tracking)}."
    if is_override:
        text += f" A payment has a chargeback.{format_note(params.override)}"
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
        remaining=to_lines(load_goods(order).owed),
        shipped_before=to_lines(goods.shipped),
    )
    return shipment


def tracking_text(tracking: str | None) -> str:
    """Return the part of a timeline entry with the tracking number; an empty text if there is none."""
    return f", tracking number {tracking}" if tracking else ""


def _checked_pieces(goods: Goods, lines: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    owed, requested = goods.owed, count_pieces(lines)
    found = {
        number: {"sku": ["This order has no such item."]}
        if line["sku"] not in goods.bought
        else {"quantity": [f"Only {owed.get(line['sku'], 0)} of {goods.bought[line['sku']]} can still be shipped."]}
        for number, line in enumerate(lines)
        if requested[line["sku"]] > owed.get(line["sku"], 0)
    }
    if found:
        raise errors.InvalidRequestError(lines=found)
    return requested


def _check_may_ship(session: Session, order: Order, override: str | None) -> bool:
    """Raise the error for the order's hold; return True if the order ships only because of the override."""
    match find_hold(order):
        case Hold.UNPAID:
            raise errors.OrderNotPaidError(order.number, order.status)
        case Hold.CANCELED:
            if review := _blocking_review(session, order):
                raise errors.ShippingCanceledError(order.number, review.resolved_by, review.decision, review.reason)
            raise errors.OrderCanceledError(order.number)
        case Hold.REVIEW:
            raise errors.OrderNeedsReviewError(order.id, order.number, order.review_reason, order.review_detail)
        case Hold.NOTHING_OWED:
            if refunds_cover_payments(order, order.refund_requests):
                raise errors.OrderRefundedError(order.number)
            raise errors.NothingToShipError(order.number)
        case Hold.STOCK:
            raise errors.OrderAwaitsStockError(order.number)
        case Hold.CHARGEBACK:
            if override is None:
                raise errors.OrderDisputedError(order.number, order.dispute_status)
            return True
    return False


def _find_shipment(session: Session, order: Order, params: ShipmentParams, key: str) -> Shipment | None:
    same_key = select(Shipment).where(Shipment.order_id == order.id, Shipment.idempotency_key == key)
    found = session.scalar(same_key)
    if found is not None and found.fingerprint != fingerprint(params):
        raise errors.KeyReusedError
    return found


def _blocking_review(session: Session, order: Order) -> Review | None:
    reviews = session.scalars(select(Review).where(Review.order_id == order.id))
    return next((review for review in reviews if review.blocks_shipping), None)
