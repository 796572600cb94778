"""What the orders service says over HTTP. Amounts in minor units of `currency`, times in UTC."""

from events.web import PageArgs
from marshmallow import Schema, fields, validate

from orders.models import STATUSES


class PublicLine(Schema):
    name = fields.String()
    quantity = fields.Integer()
    amount_total = fields.Integer()


class PublicOrder(Schema):
    """What the success page shows, no more: whoever has the session's id may see it."""

    number = fields.String()
    status = fields.String(validate=validate.OneOf(STATUSES))
    needs_review = fields.Boolean()
    currency = fields.String()
    amount_subtotal = fields.Integer()
    amount_discount = fields.Integer()
    amount_shipping = fields.Integer()
    amount_total = fields.Integer()
    lines = fields.List(fields.Nested(PublicLine))
    updated_at = fields.AwareDateTime()


class OrderRow(Schema):
    id = fields.String()
    number = fields.String()
    checkout_id = fields.String()
    session_id = fields.String()
    payment_intent = fields.String(allow_none=True)
    status = fields.String()
    needs_review = fields.Boolean()
    review_reason = fields.String(allow_none=True)
    currency = fields.String()
    amount_total = fields.Integer()
    customer_email = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    updated_at = fields.AwareDateTime()


class LineDetail(PublicLine):
    sku = fields.String()
    unit_amount = fields.Integer()


class PaymentDetail(Schema):
    id = fields.String()
    amount = fields.Integer()
    currency = fields.String()
    recorded_at = fields.AwareDateTime()


class AttemptDetail(Schema):
    at = fields.AwareDateTime()
    code = fields.String(allow_none=True)


class TimelineDetail(Schema):
    at = fields.AwareDateTime()
    kind = fields.String()
    text = fields.String()
    event_id = fields.String()


class OrderDetail(OrderRow):
    livemode = fields.Boolean()
    amount_subtotal = fields.Integer()
    amount_discount = fields.Integer()
    amount_shipping = fields.Integer()
    customer_name = fields.String(allow_none=True)
    locale = fields.String(allow_none=True)
    review_detail = fields.String(allow_none=True)
    pending_at = fields.AwareDateTime(allow_none=True)
    paid_at = fields.AwareDateTime(allow_none=True)
    failed_at = fields.AwareDateTime(allow_none=True)
    expired_at = fields.AwareDateTime(allow_none=True)
    canceled_at = fields.AwareDateTime(allow_none=True)
    lines = fields.List(fields.Nested(LineDetail))
    payments = fields.List(fields.Nested(PaymentDetail))
    attempts = fields.List(fields.Nested(AttemptDetail))
    timeline = fields.List(fields.Nested(TimelineDetail))


class OrderPage(Schema):
    items = fields.List(fields.Nested(OrderRow))
    next_cursor = fields.String(allow_none=True)


class SearchArgs(PageArgs):
    status = fields.String(validate=validate.OneOf(STATUSES))
    email = fields.String()
    session = fields.String(metadata={"description": "a Stripe session's id"})
    payment_intent = fields.String()
    checkout_id = fields.String()
    needs_review = fields.Boolean()
    created_from = fields.AwareDateTime()
    created_to = fields.AwareDateTime()
