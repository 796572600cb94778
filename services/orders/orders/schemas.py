"""What the API takes and gives. Amounts are integers in the currency's minor unit, as Stripe counts it."""

from typing import Any

from events.messaging.contracts import REVIEW_DECISIONS
from events.web.pagination import PageArgs
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from orders import disputes
from orders.intentions import RefundWish
from orders.models import FULFILLMENT_STATUSES, REFUND_STATUSES, REFUNDED, REQUESTED, STATUSES, Dispute, Order
from orders.shipments import Parcel

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")  # Stripe's


class PublicLine(Schema):
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    amount_total = fields.Integer(required=True)


class PublicShipment(Schema):
    carrier = fields.String(required=True, allow_none=True)
    tracking = fields.String(required=True, allow_none=True)
    tracking_url = fields.String(required=True, allow_none=True)
    shipped_at = fields.AwareDateTime(required=True)


class PublicOrder(Schema):
    """What the success page shows, no more: who knows a session's id learns nothing about the customer."""

    number = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    needs_review = fields.Boolean(required=True)
    currency = fields.String(required=True)
    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    amount_total = fields.Integer(required=True)
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
    refund_status = fields.String(required=True, validate=validate.OneOf(REFUNDED))
    fulfillment_status = fields.String(required=True, validate=validate.OneOf(FULFILLMENT_STATUSES))
    lines = fields.List(fields.Nested(PublicLine), required=True)
    shipments = fields.List(fields.Nested(PublicShipment), required=True)
    updated_at = fields.AwareDateTime(required=True)


class SearchArgs(PageArgs):
    """Filters, all of which must hold, and paging."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    number = fields.String()
    checkout_id = fields.String()
    email = fields.String()
    session = fields.String(metadata={"description": "a Stripe session of the order, the first or a recovered one"})
    payment_intent = fields.String()
    needs_review = fields.Boolean()
    refund_status = fields.String(validate=validate.OneOf(REFUNDED))
    dispute_status = fields.String(validate=validate.OneOf(disputes.STATUSES))
    fulfillment_status = fields.String(validate=validate.OneOf(FULFILLMENT_STATUSES))
    created_from = fields.AwareDateTime()
    created_to = fields.AwareDateTime(metadata={"description": "exclusive"})


class OrderSummary(Schema):
    id = fields.String(required=True)
    number = fields.String(required=True)
    checkout_id = fields.String(required=True)
    session_id = fields.String(required=True)
    payment_intent = fields.String(required=True, allow_none=True)
    livemode = fields.Boolean(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    needs_review = fields.Boolean(required=True)
    review_reason = fields.String(required=True, allow_none=True)
    currency = fields.String(required=True)
    amount_total = fields.Integer(required=True)
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
    refund_status = fields.String(required=True, validate=validate.OneOf(REFUNDED))
    dispute_status = fields.String(required=True, validate=validate.OneOf(disputes.STATUSES))
    fulfillment_status = fields.String(required=True, validate=validate.OneOf(FULFILLMENT_STATUSES))
    customer_email = fields.String(required=True, allow_none=True)
    customer_name = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class OrderPage(Schema):
    items = fields.List(fields.Nested(OrderSummary), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class LineItem(PublicLine):
    sku = fields.String(required=True)
    unit_amount = fields.Integer(required=True)


class PaymentItem(Schema):
    """`id` is the payment intent, or the session where the order is free."""

    id = fields.String(required=True)
    session_id = fields.String(required=True, allow_none=True)
    state = fields.String(required=True)
    currency = fields.String(required=True)
    amount = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True)
    paid_at = fields.AwareDateTime(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class AttemptItem(Schema):
    id = fields.String(required=True)
    payment_intent = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    at = fields.AwareDateTime(required=True)


class RefundedLine(Schema):
    sku = fields.String(required=True)
    quantity = fields.Integer(required=True)
    restock = fields.Boolean(required=True)


class IntentionItem(Schema):
    """A refund that was asked for here. `refund_id` is Stripe's, once it has answered; `error` is why it has not, or
    why it refused."""

    id = fields.String(required=True)
    refund_id = fields.String(required=True, allow_none=True)
    payment_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf((REQUESTED, *REFUND_STATUSES)))
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)
    lines = fields.List(fields.Nested(RefundedLine), required=True)
    error = fields.String(required=True, allow_none=True)
    requested_by = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class RefundItem(Schema):
    """A refund at Stripe, by its id; without an intention it was made in Stripe's dashboard."""

    id = fields.String(required=True)
    payment_id = fields.String(required=True)
    intention_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(REFUND_STATUSES))
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    reason = fields.String(required=True, allow_none=True)
    failure_reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class DisputeItem(Schema):
    """`status` is Stripe's word; an inquiry's begins with `warning_` and moves no money."""

    id = fields.String(required=True)
    payment_id = fields.String(required=True)
    status = fields.String(required=True)
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    reason = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    evidence_due_by = fields.AwareDateTime(required=True, allow_none=True)
    funds_withdrawn_at = fields.AwareDateTime(required=True, allow_none=True)
    funds_reinstated_at = fields.AwareDateTime(required=True, allow_none=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)


class ListedDispute(DisputeItem):
    order_id = fields.String(required=True)
    number = fields.String(required=True)


class DisputePage(Schema):
    items = fields.List(fields.Nested(ListedDispute), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class DisputeArgs(PageArgs):
    open = fields.Boolean(load_default=True, metadata={"description": "only those that are not over"})


def listed(dispute: Dispute, order: Order) -> dict[str, Any]:
    shown = {name: getattr(dispute, name) for name in DisputeItem().fields}
    return shown | {"order_id": order.id, "number": order.number}


class ReviewItem(Schema):
    reason = fields.String(required=True)
    detail = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    decision = fields.String(required=True, allow_none=True, validate=validate.OneOf(REVIEW_DECISIONS))
    resolved_by = fields.String(required=True, allow_none=True)
    resolved_at = fields.AwareDateTime(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)


class Pieces(Schema):
    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class ShipmentItem(PublicShipment):
    id = fields.String(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True)
    shipped_by = fields.String(required=True)


class TimelineItem(Schema):
    at = fields.AwareDateTime(required=True)
    kind = fields.String(required=True)
    text = fields.String(required=True)
    event_id = fields.String(required=True, allow_none=True)


class SessionItem(Schema):
    session_id = fields.String(required=True)


class WholeOrder(OrderSummary):
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
        required=True, allow_none=True, metadata={"description": "since when nobody knows who the customer was"}
    )
    sessions = fields.Pluck(SessionItem, "session_id", many=True, required=True)
    lines = fields.List(fields.Nested(LineItem), required=True)
    payments = fields.List(fields.Nested(PaymentItem), required=True)
    attempts = fields.List(fields.Nested(AttemptItem), required=True)
    refunds = fields.List(fields.Nested(RefundItem), required=True)
    intentions = fields.List(fields.Nested(IntentionItem), required=True)
    disputes = fields.List(fields.Nested(DisputeItem), required=True)
    reviews = fields.List(fields.Nested(ReviewItem), required=True)
    shipments = fields.List(fields.Nested(ShipmentItem), required=True)
    timeline = fields.List(fields.Nested(TimelineItem), required=True)


class PiecesBack(Pieces):
    restock = fields.Boolean()


class NewRefund(Schema):
    """Neither amount nor lines: all that is left of the payment. `restock` is for the lines that do not say."""

    amount = fields.Integer(strict=True, load_default=None, validate=validate.Range(min=1))
    lines = fields.List(fields.Nested(PiecesBack), load_default=(), validate=validate.Length(max=500))
    reason = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(REFUND_REASONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))
    restock = fields.Boolean(load_default=False)
    payment = fields.String(load_default=None, metadata={"description": "pi_…; else the one that paid the order"})

    @validates_schema
    def _one_of_two(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("amount") and data.get("lines"):
            raise ValidationError("Give an amount or lines, not both.", "amount")

    @post_load
    def _wish(self, data: dict[str, Any], **_: Any) -> RefundWish:
        return RefundWish(**data)


class Decision(Schema):
    decision = fields.String(required=True, validate=validate.OneOf(REVIEW_DECISIONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))


class NewShipment(Schema):
    """No lines: all that is left."""

    carrier = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=64))
    tracking = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=128))
    tracking_url = fields.Url(load_default=None, allow_none=True, schemes={"http", "https"}, require_tld=False)
    lines = fields.List(fields.Nested(Pieces), load_default=(), validate=validate.Length(max=500))

    @post_load
    def _parcel(self, data: dict[str, Any], **_: Any) -> Parcel:
        return Parcel(**data)
