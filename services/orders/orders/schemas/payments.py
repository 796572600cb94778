"""The schemas of payments and of what Stripe charged."""

from marshmallow import Schema, fields


class Charged(Schema):
    """The amounts that Stripe charges for an order.

    `amount_tax` is the sum of all taxes. `tax_included` is true if the prices include them.
    """

    currency = fields.String(required=True)
    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True)
    tax_included = fields.Boolean(required=True)
    amount_total = fields.Integer(required=True)
    presentment_currency = fields.String(required=True, allow_none=True)
    presentment_amount = fields.Integer(required=True, allow_none=True)


class PaymentItem(Schema):
    """A payment. `id` is the payment intent, or the session if the order is free."""

    id = fields.String(required=True)
    session_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    currency = fields.String(required=True)
    amount = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True)
    amount_refundable = fields.Integer(
        required=True,
        metadata={
            "description": "what a refund with `all` would refund now: the amount less refunds (made, requested or"
            " under way) and less what the customer's bank keeps; 0 if the payment has not succeeded, and while a"
            " chargeback of it is open"
        },
    )
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


class CurrencySums(Schema):
    """Sums paid and refunded in one currency."""

    currency = fields.String(required=True)
    amount_paid = fields.Integer(required=True)
    amount_refunded = fields.Integer(required=True)
