"""Goods of an order: the pieces of each sku that were bought, have shipped, do not ship any more, or are still owed.

    shipped + refunded_unshipped + owed = bought

Refunds that are requested or under way count as refunded. If a refund fails, its pieces count as not refunded again.
If refunds cover all payments, or the fulfillment is canceled, nothing is owed. Before the order is paid, nothing is
bought.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.messaging import outbox
from sqlalchemy.orm import Session

from orders.models.orders import FulfillmentStatus, Order, OrderStatus
from orders.models.payments import Payment, PaymentStatus
from orders.models.refunds import Refund, RefundRequest, RefundRequestStatus
from orders.models.shipments import Shipment


@dataclass(frozen=True)
class Goods:
    """Numbers of pieces by sku, in the order of the cart.

    `refunded` are all pieces of refund lines. `refunded_before_shipment` are the pieces of refund lines that had not
    shipped. `refunded_unshipped` are the pieces that do not ship any more: because of refund lines, because refunds
    cover all payments, or because the fulfillment is canceled.
    """

    bought: Mapping[str, int]
    shipped: Mapping[str, int]
    refunded: Mapping[str, int]
    refunded_before_shipment: Mapping[str, int]
    refunded_unshipped: Mapping[str, int]

    @property
    def owed(self) -> dict[str, int]:
        """The paid pieces that still have to ship."""
        left = {
            sku: quantity - self.shipped.get(sku, 0) - self.refunded_unshipped.get(sku, 0)
            for sku, quantity in self.bought.items()
        }
        return {sku: quantity for sku, quantity in left.items() if quantity > 0}

    @property
    def refundable_unshipped(self) -> dict[str, int]:
        """The pieces that have not shipped and that are not in a refund line yet."""
        known = self.refunded_before_shipment
        return {
            sku: max(0, quantity - self.shipped.get(sku, 0) - known.get(sku, 0))
            for sku, quantity in self.bought.items()
        }

    @property
    def refundable_shipped(self) -> dict[str, int]:
        """The pieces that have shipped and that are not in a refund line yet."""
        return {
            sku: max(0, quantity - self.refunded.get(sku, 0) + self.refunded_before_shipment.get(sku, 0))
            for sku, quantity in self.shipped.items()
        }


NO_GOODS = Goods({}, {}, {}, {}, {})


def load_goods(order: Order) -> Goods:
    """Return the order's goods. An order that is not paid has none, and costs no query."""
    if order.status != OrderStatus.PAID:
        return NO_GOODS
    return count_goods(order, order.shipments, order.refund_requests)


def count_goods(order: Order, shipments: Iterable[Shipment], requests: Collection[RefundRequest]) -> Goods:
    """Return the order's goods, counted from its lines, its refunds, and these shipments and refund requests."""
    bought: Counter[str] = Counter()
    if order.status == OrderStatus.PAID:
        for line in order.lines:
            bought[line.sku] += line.quantity
    shipped = count_pieces(line for shipment in shipments for line in shipment.lines)
    counted = [line for request in requests if request.counts_as_refunded for line in request.lines]
    by_lines: Counter[str] = Counter()
    for refunded in counted:
        by_lines[refunded["sku"]] += refunded["unshipped"]
    if order.fulfillment_canceled_at is not None or refunds_cover_payments(order, requests):
        unshipped = {sku: quantity - shipped[sku] for sku, quantity in bought.items()}
    else:
        unshipped = {sku: min(by_lines[sku], quantity - shipped[sku]) for sku, quantity in bought.items()}
    return Goods(bought, shipped, count_pieces(counted), by_lines, unshipped)


def unshipped_pieces(order: Order, at: datetime) -> dict[str, int]:
    """Return the pieces by sku that had neither shipped nor been refunded at the instant `at`.

    All shipments count, so none may be later than `at`. A refund counts once it has succeeded: until then it can fail,
    and the customer does not know of it.
    """
    left = count_pieces({"sku": line.sku, "quantity": line.quantity} for line in order.lines)
    left -= count_pieces(line for shipment in order.shipments for line in shipment.lines)
    for request in order.refund_requests:
        if request.status == RefundRequestStatus.SUCCEEDED and request.created_at < at:
            left -= count_pieces({"sku": line["sku"], "quantity": line["unshipped"]} for line in request.lines)
    return dict(left)


def refunds_cover_payments(order: Order, requests: Iterable[RefundRequest]) -> bool:
    """Return True if refunds that were made, requested or are under way leave nothing of any payment.

    A free order has nothing to refund: False.
    """
    payments = [payment for payment in succeeded_payments(order) if payment.amount]
    gone = amounts_gone(order.refunds, requests)
    return bool(payments) and all(gone[payment.id] >= payment.amount for payment in payments)


def amounts_gone(refunds: Iterable[Refund], requests: Iterable[RefundRequest]) -> Counter[str]:
    """Return the amounts by payment that are refunded, requested or under way, in minor units."""
    gone: Counter[str] = Counter()
    for refund in refunds:
        gone[refund.payment_id] += refund.amount if refund.counts_as_refunded else 0
    for request in requests:
        gone[request.payment_id] += request.amount if request.is_unanswered else 0
    return gone


def succeeded_payments(order: Order) -> list[Payment]:
    """Return the payments whose money Stripe has.

    The payment that paid the order comes first: the refund of a line is a refund of this payment.
    """
    payments = [payment for payment in order.payments if payment.status == PaymentStatus.SUCCEEDED]
    own = (order.payment_intent, order.session_id)
    return sorted(payments, key=lambda payment: (payment.id not in own, payment.created_at, payment.id))


def count_pieces(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return the number of pieces in `{sku, quantity}` lines, by sku."""
    pieces: Counter[str] = Counter()
    for line in lines:
        pieces[line["sku"]] += line["quantity"]
    return pieces


def to_lines(pieces: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return numbers of pieces by sku as `{sku, quantity}` lines, without skus that have no piece."""
    return [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items() if quantity > 0]


def update_fulfillment(session: Session, order: Order) -> None:
    """Derive the order's owed pieces and fulfillment status again. Call it after each change of pieces or money.

    The order is fulfilled once something has shipped and nothing is owed. If the number of pieces that do not ship any
    more has changed, publish these pieces, because inventory counts the sold pieces that still have to ship.
    """
    goods = load_goods(order)
    order.pieces_owed = sum(goods.owed.values())
    _publish_canceled(session, order, goods)
    if order.fulfillment_canceled_at is not None and not any(goods.shipped.values()):
        order.fulfillment_status = FulfillmentStatus.CANCELED
    elif not any(goods.shipped.values()):
        order.fulfillment_status = FulfillmentStatus.UNFULFILLED
    elif order.pieces_owed:
        order.fulfillment_status = FulfillmentStatus.PARTIAL
    else:
        order.fulfillment_status = FulfillmentStatus.FULFILLED


def _publish_canceled(session: Session, order: Order, goods: Goods) -> None:
    canceled = {sku: quantity for sku, quantity in goods.refunded_unshipped.items() if quantity}
    if canceled == order.pieces_canceled:
        return
    order.pieces_canceled = canceled
    order.goods_revision += 1
    data = {
        "order_id": order.id,
        "checkout_id": order.checkout_id,
        "revision": order.goods_revision,
        "canceled": to_lines(canceled),
    }
    outbox.add(session, "orders.goods.changed", data, correlation_id=order.checkout_id)
