"""The schemas of requests and responses. Amounts are integers in the currency's minor unit, as Stripe counts it."""

from collections.abc import Mapping
from typing import Any

from events.messaging.contracts import ReviewDecision
from events.web.fields import Instant, StrictBoolean
from events.web.pagination import PageArgs
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from orders.cancellation import CancelParams
from orders.goods import count_goods
from orders.holds import Hold, find_hold
from orders.models.disputes import Dispute
from orders.models.orders import FulfillmentStatus, Order, OrderDisputeStatus, OrderRefundStatus, OrderStatus
from orders.refunds.requests import RefundParams
from orders.shipments import ShipmentParams

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")  # Stripe's
MAX_LINES = 500  # lines in a request, more than any cart has
EXACTLY_ONE = "Send exactly one of {}."


def check_exactly_one(data: Mapping[str, Any], *names: str) -> None:
    """Raise `ValidationError` unless exactly one of these fields was sent: nothing means "all" by omission."""
    sent = [name for name in names if name in data]
    if len(sent) != 1:
        raise ValidationError(EXACTLY_ONE.format(", ".join(names)), sent[-1] if sent else names[0])


class PublicLine(Schema):
    """A line of an order, for its customer."""

    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    amount_total = fields.Integer(required=True)


class PublicShipment(Schema):
    """A parcel, for its customer."""

    carrier = fields.String(required=True, allow_none=True)
    tracking = fields.String(required=True, allow_none=True)
    tracking_url = fields.String(required=True, allow_none=True)
    shipped_at = fields.AwareDateTime(required=True)


class Charged(Schema):
    """Stripe's charge for an order. `amount_tax` has all taxes, and `tax_included` says if the prices have them."""

    currency = fields.String(required=True)
    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True)
    tax_included = fields.Boolean(required=True)
    amount_total = fields.Integer(required=True)
    presentment_currency = fields.String(required=True, allow_none=True)
    presentment_amount = fields.Integer(required=True, allow_none=True)


class PublicOrder(Schema):
    """An order for the success page, without personal data: a session id may become known to others.

    The amounts are what Stripe charges, once the customer has finished the payment page, and what was agreed before.
    `amount_paid` and `amount_refunded` are in `paid_currency`, which differs from `currency` only in a review.
    """

    number = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf([*OrderStatus]))
    needs_review = fields.Boolean(required=True)
    currency = fields.String(required=True)
    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True, metadata={"description": "all taxes; 0 until they are known"})
    tax_included = fields.Boolean(required=True, metadata={"description": "the taxes are part of the prices"})
    amount_total = fields.Integer(required=True)
    presentment_currency = fields.String(
        required=True, allow_none=True, metadata={"description": "what the customer's statement shows, if it differs"}
    )
    presentment_amount = fields.Integer(required=True, allow_none=True)
    paid_currency = fields.String(required=True)
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
    refund_status = fields.String(required=True, validate=validate.OneOf([*OrderRefundStatus]))
    payment_method_types = fields.List(
        fields.String(), required=True, metadata={"description": "Stripe's types that the payment page offered"}
    )
    payment_method = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "the method of a delayed payment, such as sepa_debit or oxxo, if it is known"},
    )
    voucher_expires_at = fields.AwareDateTime(required=True, allow_none=True)
    review_decision = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*ReviewDecision]),
        metadata={"description": "what was decided about the order after a review"},
    )
    fulfillment_status = fields.String(required=True, validate=validate.OneOf([*FulfillmentStatus]))
    lines = fields.List(fields.Nested(PublicLine), required=True)
    shipments = fields.List(fields.Nested(PublicShipment), required=True)
    updated_at = fields.AwareDateTime(required=True)


def public_order(order: Order) -> dict[str, Any]:
    """Return the values of a `PublicOrder`. What Stripe charges replaces all amounts that were agreed."""
    agreed = {"amount_tax": 0, "tax_included": False, "presentment_currency": None, "presentment_amount": None}
    payment = order.charged_payment
    is_pending = payment is not None and order.status == OrderStatus.PAYMENT_PENDING
    own = {name: getattr(order, name) for name in PublicOrder().fields if hasattr(order, name)}
    return {
        **agreed,
        **own,
        "paid_currency": order.currency,
        "payment_method_types": payment.payment_method_types or [] if payment else [],
        "payment_method": payment.payment_method if payment and is_pending else None,
        "voucher_expires_at": payment.voucher_expires_at if payment and is_pending else None,
        "review_decision": next((review.decision for review in order.reviews if review.blocks_shipping), None),
        **(order.charged or {}),
    }


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
    to_ship = fields.Boolean(metadata={"description": "the pick list: owed pieces, and no hold"})
    created_from = Instant()
    created_to = Instant(metadata={"description": "exclusive"})


class HoldField(fields.String):
    """The reason why an order does not ship."""

    def get_value(self, obj: Any, *_: Any, **__: Any) -> Any:
        """Return the hold of the order `obj`."""
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
    amount_total = fields.Integer(required=True, metadata={"description": "as agreed; `charged` has what was charged"})
    charged = fields.Nested(
        Charged, required=True, allow_none=True, metadata={"description": "null until a session is completed"}
    )
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
    refund_status = fields.String(required=True, validate=validate.OneOf([*OrderRefundStatus]))
    dispute_status = fields.String(required=True, validate=validate.OneOf([*OrderDisputeStatus]))
    fulfillment_status = fields.String(required=True, validate=validate.OneOf([*FulfillmentStatus]))
    pieces_owed = fields.Integer(required=True, metadata={"description": "paid pieces that still have to ship"})
    hold = HoldField(
        required=True,
        allow_none=True,
        validate=validate.OneOf([*Hold]),
        metadata={"description": "why the order does not ship; null: it may"},
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


class PaymentItem(Schema):
    """A payment. `id` is the payment intent, or the session if the order is free."""

    id = fields.String(required=True)
    session_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    currency = fields.String(required=True)
    amount = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True)
    charged = fields.Nested(Charged, required=True, allow_none=True)
    payment_method = fields.String(required=True, allow_none=True)
    voucher_expires_at = fields.AwareDateTime(required=True, allow_none=True)
    paid_at = fields.AwareDateTime(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class AttemptItem(Schema):
    """A failed payment attempt, with Stripe's reason."""

    id = fields.String(required=True)
    payment_intent = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    attempted_at = fields.AwareDateTime(required=True)


class RefundedLine(Schema):
    """Refunded pieces of one sku. With `restock` they go back to the shelf; `unshipped` of them had not shipped."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True)
    restock = fields.Boolean(required=True)
    unshipped = fields.Integer(required=True)


class RefundRequestItem(Schema):
    """An operator's refund request.

    `refund_id` is Stripe's, once it has answered. With the amount 0 it only records pieces. `error` says
    why Stripe has not answered or has refused.
    """

    id = fields.String(required=True)
    refund_id = fields.String(required=True, allow_none=True)
    payment_id = fields.String(required=True)
    status = fields.String(required=True, metadata={"description": "requested, then the status of Stripe's refund"})
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)
    lines = fields.List(fields.Nested(RefundedLine), required=True)
    error = fields.String(required=True, allow_none=True)
    requested_by = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class RefundItem(Schema):
    """A refund at Stripe. Without `refund_request_id` it was made in Stripe's dashboard."""

    id = fields.String(required=True)
    payment_id = fields.String(required=True)
    refund_request_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, metadata={"description": "Stripe's; an unknown one counts as under way"})
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    failure_reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class DisputeItem(Schema):
    """A dispute with Stripe's `status`. An inquiry's status begins with `warning_`, and it moves no money."""

    id = fields.String(required=True)
    payment_id = fields.String(required=True)
    status = fields.String(required=True)
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    amount_withdrawn = fields.Integer(required=True, allow_none=True, metadata={"description": "by the bank, in all"})
    amount_reinstated = fields.Integer(required=True, allow_none=True, metadata={"description": "returned to the shop"})
    amount_held = fields.Integer(required=True, allow_none=True, metadata={"description": "what the bank holds now"})
    reason = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    evidence_due_by = fields.AwareDateTime(required=True, allow_none=True)
    funds_withdrawn_at = fields.AwareDateTime(required=True, allow_none=True)
    funds_reinstated_at = fields.AwareDateTime(required=True, allow_none=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)


class DisputeRow(DisputeItem):
    """A dispute in a list, with its order."""

    order_id = fields.String(required=True)
    order_number = fields.String(required=True)


class DisputePage(Schema):
    """One page of disputes."""

    items = fields.List(fields.Nested(DisputeRow), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class DisputeArgs(PageArgs):
    """The filter and paging of disputes."""

    open = fields.Boolean(load_default=True, metadata={"description": "only disputes that are not closed"})


def dispute_row(dispute: Dispute, order: Order) -> dict[str, Any]:
    """Return the values of a `DisputeRow`."""
    shown = {name: getattr(dispute, name) for name in DisputeItem().fields}
    return shown | {"order_id": order.id, "order_number": order.number}


class ReviewItem(Schema):
    """A review, and its decision once it is resolved."""

    reason = fields.String(required=True)
    detail = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    decision = fields.String(required=True, allow_none=True, validate=validate.OneOf([*ReviewDecision]))
    resolved_by = fields.String(required=True, allow_none=True)
    resolved_at = fields.AwareDateTime(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)


class Pieces(Schema):
    """Pieces of one sku."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class ShipmentItem(PublicShipment):
    """A parcel with its pieces."""

    id = fields.String(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True)
    override = fields.String(
        required=True, allow_none=True, metadata={"description": "why it shipped in spite of a chargeback"}
    )
    shipped_by = fields.String(required=True)


class TimelineItem(Schema):
    """A timeline entry. `cause_id` is the event, refund request, shipment or act that it is about."""

    happened_at = fields.AwareDateTime(required=True)
    kind = fields.String(required=True)
    text = fields.String(required=True)
    cause_id = fields.String(required=True)


class SessionItem(Schema):
    """A Stripe session of an order."""

    session_id = fields.String(required=True)


class CurrencySums(Schema):
    """Sums paid and refunded in one currency."""

    currency = fields.String(required=True)
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)


class GoodsItem(Schema):
    """The pieces of one sku: shipped + refunded_unshipped + owed = bought. Nothing is bought before the payment."""

    sku = fields.String(required=True)
    bought = fields.Integer(required=True)
    shipped = fields.Integer(required=True)
    refunded_unshipped = fields.Integer(
        required=True, metadata={"description": "refunded or canceled before they shipped"}
    )
    owed = fields.Integer(required=True)


class GoodsField(fields.List[Any]):
    """The goods of an order."""

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


class OrderDetail(OrderSummary):
    """An order with everything that belongs to it."""

    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    customer_phone = fields.String(required=True, allow_none=True)
    shipping_name = fields.String(required=True, allow_none=True)
    shipping_address = fields.Dict(required=True, allow_none=True, metadata={"description": "as Stripe has it"})
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
    payments = fields.List(fields.Nested(PaymentItem), required=True)
    sums = fields.List(
        fields.Nested(CurrencySums),
        required=True,
        metadata={"description": "by currency: a reviewed payment can be in another one than the order"},
    )
    attempts = fields.List(fields.Nested(AttemptItem), required=True)
    refunds = fields.List(fields.Nested(RefundItem), required=True)
    refund_requests = fields.List(fields.Nested(RefundRequestItem), required=True)
    disputes = fields.List(fields.Nested(DisputeItem), required=True)
    reviews = fields.List(fields.Nested(ReviewItem), required=True)
    shipments = fields.List(fields.Nested(ShipmentItem), required=True)
    timeline = fields.List(fields.Nested(TimelineItem), required=True)


class PiecesToRefund(Pieces):
    """Pieces of one sku to refund. With `restock` they go back to the shelf."""

    restock = StrictBoolean()
    unshipped = fields.Integer(
        strict=True,
        validate=validate.Range(min=0),
        metadata={"description": "how many of them had not shipped; the default counts the shipped ones first"},
    )


class NewRefund(Schema):
    """A refund of `all` that is left of the payment, of an `amount`, or of `lines`: exactly one of them.

    `restock` is for the lines that do not say, and for all pieces.
    """

    all = StrictBoolean(validate=validate.Equal(True))
    amount = fields.Integer(strict=True, validate=validate.Range(min=1))
    lines = fields.List(fields.Nested(PiecesToRefund), validate=validate.Length(min=1, max=MAX_LINES))
    without_money = StrictBoolean(
        load_default=False,
        metadata={"description": "only record the lines: the order is free, or its money is refunded already"},
    )
    reason = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(REFUND_REASONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))
    restock = StrictBoolean(load_default=False)
    payment_id = fields.String(
        load_default=None, metadata={"description": "pi_…; the default is the payment that paid the order"}
    )

    @validates_schema
    def _check_extent(self, data: dict[str, Any], **_: Any) -> None:
        check_exactly_one(data, "all", "amount", "lines")
        if data.get("without_money") and "lines" not in data:
            raise ValidationError("Send lines.", "without_money")

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> RefundParams:
        return RefundParams(**data)


class NewCancellation(Schema):
    """A cancellation of a paid order that has not shipped. `refund` says if the customer gets the money back."""

    refund = StrictBoolean(required=True)
    restock = StrictBoolean(load_default=True, metadata={"description": "the pieces go back to the shelf"})
    reason = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(REFUND_REASONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> CancelParams:
        return CancelParams(**data)


class ReviewResolution(Schema):
    """An operator's decision about all open reviews of an order."""

    decision = fields.String(required=True, validate=validate.OneOf([*ReviewDecision]))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))


class NewShipment(Schema):
    """A parcel with `all` that is owed, or with `lines`: exactly one of them."""

    all = StrictBoolean(validate=validate.Equal(True))
    carrier = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=64))
    tracking = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=128))
    tracking_url = fields.Url(load_default=None, allow_none=True, schemes={"http", "https"}, require_tld=False)
    override = fields.String(
        load_default=None,
        allow_none=True,
        validate=[validate.Length(min=1, max=500), validate.Regexp(r".*\S", error="Say why.")],
        metadata={"description": "the reason to ship in spite of an open or lost chargeback"},
    )
    lines = fields.List(fields.Nested(Pieces), validate=validate.Length(min=1, max=MAX_LINES))

    @validates_schema
    def _check_extent(self, data: dict[str, Any], **_: Any) -> None:
        check_exactly_one(data, "all", "lines")

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> ShipmentParams:
        return ShipmentParams(**data)
