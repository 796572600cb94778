"""The schemas of orders as operators see them."""

from typing import Any

from events.web.fields import Instant
from events.web.pagination import PageArgs
from marshmallow import Schema, fields, validate

from orders.goods import count_goods
from orders.holds import Hold, find_hold
from orders.models.orders import FulfillmentStatus, OrderDisputeStatus, OrderRefundStatus, OrderStatus
from orders.schemas.disputes import DisputeItem
from orders.schemas.payments import AttemptItem, Charged, CurrencySums, PaymentItem
from orders.schemas.public_orders import PublicLine
from orders.schemas.refunds import RefundItem, RefundRequestItem
from orders.schemas.reviews import ReviewItem
from orders.schemas.shipments import ShipmentItem
from orders.totals import count_refundable


class SearchArgs(PageArgs):
    """Filters and paging. An order must match all filters."""

    status = fields.String(validate=validate.OneOf([*OrderStatus]))
    number = fields.String()
    checkout_id = fields.String()
    email = fields.String()
    session_id = fields.String(metadata={"description": "any Stripe session of the order"})
    payment_intent = fields.String()
    needs_review = fields.Boolean()
    refund_status = fields.String(validate=validate.OneOf([*OrderRefundStatus]))
    dispute_status = fields.String(validate=validate.OneOf([*OrderDisputeStatus]))
    fulfillment_status = fields.String(validate=validate.OneOf([*FulfillmentStatus]))
    to_ship = fields.Boolean(metadata={"description": "true: the pick list (pieces owed, no hold); false: all others"})
    created_from = Instant()
    created_to = Instant(metadata={"description": "exclusive"})


class HoldField(fields.String):
    """The reason why an order does not ship."""

    def get_value(self, obj: Any, *_: Any, **__: Any) -> Any:
        """Return the hold of the order `obj`; None if it may ship."""
        return find_hold(obj)


class OrderSummary(Schema):
    """An order in a list."""

    id = fields.String(required=True)
    number = fields.String(required=True)
    checkout_id = fields.String(required=True)
    session_id = fields.String(required=True)
    payment_intent = fields.String(required=True, allow_none=True)
    livemode = fields.Boolean(required=True)
    status = fields.String(required=True, validate=validate.OneOf([*OrderStatus]))
    needs_review = fields.Boolean(required=True)
    review_reason = fields.String(required=True, allow_none=True)
    currency = fields.String(required=True)
    amount_total = fields.Integer(
        required=True, metadata={"description": "as agreed in the checkout; `charged` has what Stripe charged"}
    )
    charged = fields.Nested(
        Charged, required=True, allow_none=True, metadata={"description": "null until a session is completed"}
    )
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
    refund_status = fields.String(required=True, validate=validate.OneOf([*OrderRefundStatus]))
    dispute_status = fields.String(required=True, validate=validate.OneOf([*OrderDisputeStatus]))
    fulfillment_status = fields.String(required=True, validate=validate.OneOf([*FulfillmentStatus]))
    pieces_owed = fields.Integer(
        required=True,
        metadata={"description": "paid pieces that must still ship: not shipped, refunded or canceled"},
    )
    hold = HoldField(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*Hold]),
        metadata={"description": "why the order must not ship now; null if it may ship"},
    )
    customer_email = fields.String(required=True, allow_none=True)
    customer_name = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class OrderPage(Schema):
    """One page of orders."""

    items = fields.List(fields.Nested(OrderSummary), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class LineItem(PublicLine):
    """A line of an order."""

    sku = fields.String(required=True)
    unit_amount = fields.Integer(required=True)
    amount_total = fields.Integer(required=True, metadata={"description": "as agreed, after the shop's discount"})


class TimelineItem(Schema):
    """A timeline entry.

    `cause_id` is the id of what the entry is about: an event, a refund or its request, a shipment, a review decision,
    a cancellation or an erasure.
    """

    happened_at = fields.AwareDateTime(required=True)
    kind = fields.String(required=True)
    text = fields.String(required=True)
    cause_id = fields.String(required=True)


class SessionItem(Schema):
    """A Stripe session of an order."""

    session_id = fields.String(required=True)


class GoodsItem(Schema):
    """The pieces of one sku: shipped + refunded_unshipped + owed = bought. An unpaid order has none."""

    sku = fields.String(required=True)
    bought = fields.Integer(required=True)
    shipped = fields.Integer(required=True)
    refunded_unshipped = fields.Integer(
        required=True, metadata={"description": "refunded or canceled before they shipped"}
    )
    owed = fields.Integer(required=True)


class GoodsField(fields.List[Any]):
    """The pieces of an order, by sku, as `GoodsItem`."""

    def get_value(self, obj: Any, *_: Any, **__: Any) -> Any:
        """Return the goods of the order `obj`, whose details are loaded."""
        goods = count_goods(obj, obj.shipments, obj.refund_requests)
        return [
            {
                "sku": sku,
                "bought": quantity,
                "shipped": goods.shipped.get(sku, 0),
                "refunded_unshipped": goods.refunded_unshipped.get(sku, 0),
                "owed": goods.owed.get(sku, 0),
            }
            for sku, quantity in goods.bought.items()
        ]


PAYMENT_FIELDS = tuple(PaymentItem().fields)


class PaymentsField(fields.List[Any]):
    """The payments of an order, as `PaymentItem`."""

    def get_value(self, obj: Any, *_: Any, **__: Any) -> Any:
        """Return the payments of the order `obj`, whose details are loaded."""
        rows = obj.refunds, obj.refund_requests, obj.disputes
        return [
            {name: getattr(payment, name, None) for name in PAYMENT_FIELDS}
            | {"amount_refundable": count_refundable(payment, *rows)}
            for payment in obj.payments
        ]


class OrderDetail(OrderSummary):
    """An order with everything that belongs to it.

    `amount_subtotal`, `amount_discount` and `amount_shipping` are as agreed in the checkout, like `amount_total`.
    """

    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    customer_phone = fields.String(required=True, allow_none=True)
    shipping_name = fields.String(required=True, allow_none=True)
    shipping_address = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "as Stripe sent it; only country and state once the customer is erased"},
    )
    locale = fields.String(required=True, allow_none=True)
    recovery_url = fields.String(required=True, allow_none=True)
    review_detail = fields.String(required=True, allow_none=True)
    started_at = fields.AwareDateTime(required=True)
    pending_at = fields.AwareDateTime(required=True, allow_none=True)
    paid_at = fields.AwareDateTime(required=True, allow_none=True)
    failed_at = fields.AwareDateTime(required=True, allow_none=True)
    expired_at = fields.AwareDateTime(required=True, allow_none=True)
    canceled_at = fields.AwareDateTime(required=True, allow_none=True)
    erased_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "when the customer's personal data was erased"}
    )
    sessions = fields.Pluck(SessionItem, "session_id", many=True, required=True)
    fulfillment_canceled_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "when it was decided that the paid order does not ship"},
    )
    lines = fields.List(fields.Nested(LineItem), required=True)
    goods = GoodsField(fields.Nested(GoodsItem), required=True)
    payments = PaymentsField(fields.Nested(PaymentItem), required=True)
    sums = fields.List(
        fields.Nested(CurrencySums),
        required=True,
        metadata={"description": "by currency: a payment in review can have another currency than the order"},
    )
    attempts = fields.List(fields.Nested(AttemptItem), required=True)
    refunds = fields.List(fields.Nested(RefundItem), required=True)
    refund_requests = fields.List(fields.Nested(RefundRequestItem), required=True)
    disputes = fields.List(fields.Nested(DisputeItem), required=True)
    reviews = fields.List(fields.Nested(ReviewItem), required=True)
    shipments = fields.List(fields.Nested(ShipmentItem), required=True)
    timeline = fields.List(fields.Nested(TimelineItem), required=True)
