"""Events of the checkout service."""

from enum import StrEnum

from marshmallow import fields, validate

from events.messaging.contracts.shared import Amounts, CheckoutRef, Contract, Line


class CancelReason(StrEnum):
    """The reasons for which a checkout ended before payment.

    `customer` and `operator` say who canceled it while its payment page was open. An `abandoned` checkout was
    interrupted or canceled earlier, so no customer got the URL of its page.
    """

    CUSTOMER = "customer"
    OPERATOR = "operator"
    ABANDONED = "abandoned"


class ShippingOffer(Contract):
    """A shipping option that Stripe's page offered. `countries` (ISO 3166) limits its destinations; empty: no limit."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    amount = fields.Integer(required=True, strict=True)
    countries = fields.List(fields.String(), required=True)


class CheckoutStarted(CheckoutRef, Amounts):
    """Checkout created a Stripe session for this cart. The amounts and lines are those given to Stripe."""

    livemode = fields.Boolean(required=True)
    promotion_codes = fields.Boolean(
        load_default=False,
        metadata={"description": "Stripe's page accepted promotion codes: with one, the customer pays less"},
    )
    needs_shipping = fields.Boolean(
        load_default=False,
        metadata={
            "description": "the session offers shipping or asks for an address: without one, the order cannot ship"
        },
    )
    customer_email = fields.String(allow_none=True, load_default=None)
    locale = fields.String(allow_none=True, load_default=None)
    discount_code = fields.String(allow_none=True, load_default=None)
    expires_at = fields.AwareDateTime(required=True)
    shipping_options = fields.List(
        fields.Nested(ShippingOffer),
        load_default=list,
        metadata={"description": "the customer chooses one of these on Stripe's page; the amounts include the first"},
    )
    lines = fields.List(fields.Nested(Line), required=True, validate=validate.Length(min=1))


class CheckoutCanceled(CheckoutRef):
    """The checkout ended before payment.

    Its session is expired at Stripe, or checkout's sweeper expires it as soon as Stripe answers.
    """

    reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": f"{', '.join(CancelReason)}; null: unknown. Readers must accept other values"},
    )
