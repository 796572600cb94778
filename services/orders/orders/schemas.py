"""What the API takes and gives. Amounts are integers in the currency's minor unit, as Stripe counts it."""

from events.web import PageArgs
from marshmallow import Schema, fields, validate

from orders.models import STATUSES


class PublicLine(Schema):
    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    amount_total = fields.Integer(required=True)


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
    lines = fields.List(fields.Nested(PublicLine), required=True)
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
    locale = fields.String(required=True, allow_none=True)
    recovery_url = fields.String(required=True, allow_none=True)
    review_detail = fields.String(required=True, allow_none=True)
    started_at = fields.AwareDateTime(required=True)
    pending_at = fields.AwareDateTime(required=True, allow_none=True)
    paid_at = fields.AwareDateTime(required=True, allow_none=True)
    failed_at = fields.AwareDateTime(required=True, allow_none=True)
    expired_at = fields.AwareDateTime(required=True, allow_none=True)
    canceled_at = fields.AwareDateTime(required=True, allow_none=True)
    sessions = fields.Pluck(SessionItem, "session_id", many=True, required=True)
    lines = fields.List(fields.Nested(LineItem), required=True)
    payments = fields.List(fields.Nested(PaymentItem), required=True)
    attempts = fields.List(fields.Nested(AttemptItem), required=True)
    timeline = fields.List(fields.Nested(TimelineItem), required=True)
