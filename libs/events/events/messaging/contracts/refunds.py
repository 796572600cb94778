"""Events of the orders service about refunds."""

from enum import StrEnum

from marshmallow import fields, validate

from events.messaging.contracts.orders import OrderSnapshot


class RefundStatus(StrEnum):
    """Stripe's statuses of a refund. Stripe may add others, so no constraint lists them.

    A refund can change between `requires_action` and `pending` any number of times. A succeeded one can still fail.
    """

    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    FAILED = "failed"


class RefundChanged(OrderSnapshot):
    """One refund of an order; `amount_refunded` is the order's sum of succeeded refunds."""

    refund_id = fields.String(
        required=True,
        metadata={"description": "at Stripe; the refund request's id if Stripe refused it, so that no refund exists"},
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
            "description": "of `refund_amount`; null: the order's. It differs only after a payment in another currency"
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
        metadata={"description": "why a review ended in this refund; null: it is not from a review"},
    )
    failure_reason = fields.String(allow_none=True, load_default=None)
