"""The schemas of refunds and refund requests."""

from typing import Any

from events.web.fields import LimitedList, StrictBoolean
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from orders.refunds.requests import RefundParams
from orders.schemas.shared import MAX_LINES, Pieces, check_exactly_one

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")  # Stripe's


class RefundedLine(Schema):
    """Refunded pieces of one sku. With `restock` they go back to the stock; `unshipped` of them had not shipped."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True)
    restock = fields.Boolean(required=True)
    unshipped = fields.Integer(required=True)


class RefundRequestItem(Schema):
    """A refund request of an operator or the policy.

    `refund_id` is the id of Stripe's refund; null while there is none. A request of the amount 0 only records pieces.
    `error` says why Stripe has not answered or has refused.
    """

    id = fields.String(required=True)
    refund_id = fields.String(required=True, allow_none=True)
    payment_id = fields.String(required=True)
    status = fields.String(
        required=True,
        metadata={
            "description": "requested until Stripe answers; then the refund's status, or failed if Stripe refused"
        },
    )
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
    status = fields.String(
        required=True, metadata={"description": "Stripe's status; an unknown status counts as under way"}
    )
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    presentment_currency = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "the currency on the customer's bank statement, if it is not `currency`"},
    )
    presentment_amount = fields.Integer(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    failure_reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)


class PiecesToRefund(Pieces):
    """Pieces of one sku to refund. With `restock` they go back to the stock."""

    restock = StrictBoolean()
    unshipped = fields.Integer(
        strict=True,
        validate=validate.Range(min=0),
        metadata={
            "description": "How many of these pieces had not shipped. If you leave it out, the refund takes shipped"
            " pieces first, and only the rest counts as not shipped."
        },
    )


class NewRefund(Schema):
    """A refund of `all` that is left of the payment, of an `amount`, or of `lines`: exactly one of them.

    `restock` is the default for lines without their own `restock`. With `all`, it is for all pieces. With an
    `amount`, `restock: true` is refused, because an amount names no pieces.
    """

    all = StrictBoolean(validate=validate.Equal(True))
    amount = fields.Integer(strict=True, validate=validate.Range(min=1))
    lines = LimitedList(fields.Nested(PiecesToRefund), validate.Length(min=1, max=MAX_LINES))
    without_money = StrictBoolean(
        load_default=False,
        metadata={"description": "only record the lines: the order is free, or its money is refunded already"},
    )
    reason = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(REFUND_REASONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))
    restock = StrictBoolean(load_default=False)
    payment_id = fields.String(
        load_default=None,
        allow_none=False,  # a client that lost the id of a duplicate payment must not refund the order's own
        error_messages={"null": "Send the payment's id, or leave payment_id out for the payment that paid the order."},
        metadata={"description": "pi_…; the default is the payment that paid the order"},
    )

    @validates_schema
    def _check_extent(self, data: dict[str, Any], **_: Any) -> None:
        check_exactly_one(data, "all", "amount", "lines")
        if data.get("without_money") and "lines" not in data:
            raise ValidationError("Send without_money only with lines.", "without_money")

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> RefundParams:
        return RefundParams(**data)
