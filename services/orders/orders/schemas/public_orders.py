"""The schemas of an order as its customer sees it."""

from typing import Any

from events.messaging.contracts.reviews import CUSTOMER_REASONS, ReviewDecision
from marshmallow import Schema, fields, validate

from orders.goods import unshipped_pieces
from orders.models.orders import FulfillmentStatus, Order, OrderRefundStatus, OrderStatus
from orders.schemas.shipments import PublicShipment


class PublicLine(Schema):
    """A line of an order, for its customer."""

    name = fields.String(required=True)
    quantity = fields.Integer(required=True)
    amount_subtotal = fields.Integer(required=True, metadata={"description": "the pieces' prices, before discounts"})


class PublicOrder(Schema):
    """An order for the success page, without personal data: a session id may become known to others.

    It shows what the customer's e-mails say. So a review that the customer does not learn about, such as one for
    suspected fraud, is not shown: such an order only has `confirmed` false.

    Once the customer has finished the payment page, the amounts are what Stripe charges. Before, they are as agreed.
    The lines, `amount_paid` and `amount_refunded` are in `paid_currency`: the currency that was agreed. It differs from
    `currency` only if the customer paid in another currency, which opens a review.
    """

    number = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf([*OrderStatus]))
    confirmed = fields.Boolean(
        required=True,
        metadata={
            "description": "the order is published as paid; false for a paid order: it is still being checked, or it"
            " does not ship"
        },
    )
    needs_review = fields.Boolean(
        required=True, metadata={"description": "a review is open whose reason the customer may learn"}
    )
    currency = fields.String(required=True)
    amount_subtotal = fields.Integer(required=True)
    amount_discount = fields.Integer(required=True)
    amount_shipping = fields.Integer(required=True)
    amount_tax = fields.Integer(required=True, metadata={"description": "all taxes; 0 until they are known"})
    tax_included = fields.Boolean(required=True, metadata={"description": "the taxes are part of the prices"})
    amount_total = fields.Integer(required=True)
    presentment_currency = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "the currency on the customer's bank statement, if it is not `currency`"},
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
        metadata={
            "description": "the method of a payment that is under way, such as sepa_debit or oxxo; null: unknown, or no"
            " payment is under way"
        },
    )
    has_instructions = fields.Boolean(
        required=True,
        metadata={
            "description": "the customer must still pay a voucher or send a bank transfer: an e-mail has the link"
        },
    )
    voucher_expires_at = fields.AwareDateTime(required=True, allow_none=True)
    review_decision = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([ReviewDecision.REFUND, ReviewDecision.CANCEL]),
        metadata={
            "description": "refund or cancel, if a review ended without shipping the order or its rest; otherwise null"
        },
    )
    fulfillment_status = fields.String(required=True, validate=validate.OneOf([*FulfillmentStatus]))
    lines = fields.List(fields.Nested(PublicLine), required=True)
    shipments = fields.List(fields.Nested(PublicShipment), required=True)
    updated_at = fields.AwareDateTime(required=True)


def public_order(order: Order) -> dict[str, Any]:
    """Return the values of a `PublicOrder`. What Stripe charges replaces all amounts that were agreed.

    The order's database session must be open.
    """
    agreed = {"amount_tax": 0, "tax_included": False, "presentment_currency": None, "presentment_amount": None}
    payment = order.charged_payment
    pending = payment if order.status == OrderStatus.PAYMENT_PENDING else None
    own = {name: getattr(order, name) for name in PublicOrder().fields if hasattr(order, name)}
    return {
        **agreed,
        **own,
        "confirmed": order.paid_published_at is not None,
        "needs_review": any(review.decision is None and review.reason in CUSTOMER_REASONS for review in order.reviews),
        "paid_currency": order.currency,
        "payment_method_types": payment.payment_method_types or [] if payment else [],
        "payment_method": pending.payment_method if pending else None,
        "has_instructions": pending is not None and pending.voucher_url is not None,
        "voucher_expires_at": pending.voucher_expires_at if pending else None,
        "review_decision": _decision_not_to_ship(order),
        **(order.charged or {}),
    }


def _decision_not_to_ship(order: Order) -> str | None:
    """Return the decision of the review that kept pieces from shipping; None if no review did."""
    for review in order.reviews:
        if review.blocks_shipping and review.resolved_at and unshipped_pieces(order, review.resolved_at):
            return review.decision
    return None
