"""Events of the orders service about disputes."""

from marshmallow import fields

from events.messaging.contracts.orders import OrderSnapshot


class DisputeChanged(OrderSnapshot):
    """One dispute of an order's payment: `dispute_status` is Stripe's status; inquiries (`warning_…`) move no money."""

    dispute_id = fields.String(required=True)
    dispute_status = fields.String(required=True)
    dispute_amount = fields.Integer(required=True, strict=True)
    dispute_reason = fields.String(required=True)
    evidence_due_by = fields.AwareDateTime(allow_none=True, load_default=None)
    dispute_currency = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "the currency of `dispute_amount` and `amount_held`; null: the order's"},
    )
    funds_withdrawn = fields.Boolean(
        required=True, metadata={"description": "the bank withholds the disputed amount, or a part of it, now"}
    )
    amount_held = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "the part of `dispute_amount` that the bank withholds now; null: unknown"},
    )
    is_refund_due = fields.Boolean(
        load_default=False,
        metadata={"description": "the order is canceled, and a part of its payments can still be refunded"},
    )
