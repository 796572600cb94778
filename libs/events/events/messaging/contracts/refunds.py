"""Events of the orders service about refunds."""

from enum import StrEnum

from marshmallow import fields, validate

from events.messaging.contracts.orders import OrderSnapshot


class RefundStatus(StrEnum):
    """Stripe's statuses of a refund. Stripe may add others, so no database constraint lists them.

    A refund can change between `requires_action` and `pending` any number of times. A succeeded one can still fail.
    """

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


class RefundChanged(OrderSnapshot):
    """One refund of an order; `amount_refunded` is the order's sum of succeeded refunds."""

    refund_id = fields.String(
        required=True,
        metadata={
            "description": "the refund's id at Stripe; the refund request's id if Stripe refused it and made no refund"
        },
    )
    refund_request_id = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "the id of the refund request in orders; null: the refund was made in Stripe's dashboard"
        },
    )
    refund_status = fields.String(required=True, validate=validate.OneOf([*RefundStatus]))
    refund_amount = fields.Integer(required=True, strict=True)
    refund_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "the currency of `refund_amount`; null: the order's. It differs only after a"
            " payment in another currency"
        },
    )
    presentment_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "the currency on the customer's bank statement; null: the same as the refund's"},
    )
    presentment_amount = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "what the customer's bank statement shows for this refund"},
    )
    amount_refunded = fields.Integer(required=True, strict=True)
    review_reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "the reason of the review whose decision was this refund; null: no review led to it"},
    )
    failure_reason = fields.String(allow_none=True, load_default=None)
    is_disputed = fields.Boolean(
        load_default=False,
        metadata={
            "description": "the refund failed because the customer disputes the payment: the bank decides, and nothing"
            " may be paid back in another way"
        },
    )
