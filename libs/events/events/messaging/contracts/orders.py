"""Events of the orders service about an order, its payment and its parcels."""

from marshmallow import fields, validate

from events.messaging.contracts.shared import Amounts, CheckoutRef, Contract, Line, Pieces


class Charged(Contract):
    """Stripe's charge for an order, as its completed session says.

    total = subtotal - discount + shipping, plus the taxes that are not part of the prices. The discount includes
    promotion codes. The presentment amount is what the customer's statement shows, if it is in another currency.
    """

    currency = fields.String(required=True, validate=validate.Regexp(r"^[a-z]{3}$"))
    amount_subtotal = fields.Integer(required=True, strict=True)
    amount_discount = fields.Integer(required=True, strict=True)
    amount_shipping = fields.Integer(required=True, strict=True)
    amount_tax = fields.Integer(
        required=True, strict=True, metadata={"description": "all taxes, those that are part of the prices included"}
    )
    tax_included = fields.Boolean(required=True, metadata={"description": "all taxes are part of the prices"})
    amount_total = fields.Integer(required=True, strict=True)
    presentment_currency = fields.String(allow_none=True, load_default=None)
    presentment_amount = fields.Integer(strict=True, allow_none=True, load_default=None)


class OrderSnapshot(CheckoutRef, Amounts):
    """An order as it was when orders wrote the event. `occurred_at` is when the change happened.

    `amount_total` and its parts are those of the checkout. `charged` has what Stripe charges: readers use it wherever
    it is not null.
    """

    order_id = fields.String(required=True)
    number = fields.String(required=True)
    payment_intent = fields.String(allow_none=True, load_default=None)
    customer_email = fields.String(allow_none=True, load_default=None)
    customer_name = fields.String(allow_none=True, load_default=None)
    customer_country = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "from the payment page, ISO 3166; a hint of the language where the locale is null"},
    )
    locale = fields.String(allow_none=True, load_default=None)
    charged = fields.Nested(
        Charged,
        allow_none=True,
        load_default=None,
        metadata={"description": "null until a session is completed, paid or not"},
    )
    amount_paid = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "all payments of the order, a duplicate one included; null: unknown"},
    )
    amount_refunded = fields.Integer(
        strict=True,
        allow_none=True,
        load_default=None,
        metadata={"description": "all succeeded refunds of the order; null: unknown"},
    )
    has_other_currencies = fields.Boolean(
        load_default=False,
        metadata={
            "description": "a payment was made in another currency than the order's:"
            " neither `amount_paid` nor `amount_refunded` contains it"
        },
    )
    lines = fields.List(fields.Nested(Line), required=True)
    occurred_at = fields.AwareDateTime(required=True)


class PaymentPending(OrderSnapshot):
    """The customer finished the checkout, and the money has not arrived yet.

    It is published again once Stripe has said how the customer has to pay: with a voucher or a bank transfer.
    """

    payment_method_types = fields.List(
        fields.String(),
        allow_none=True,
        load_default=None,
        metadata={"description": "the types of payment methods that Stripe's page offered"},
    )
    payment_method = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "sepa_debit, oxxo, boleto, konbini, multibanco, bank_transfer, …; null: unknown"},
    )
    voucher_url = fields.Url(
        require_tld=False,
        allow_none=True,
        load_default=None,
        metadata={"description": "Stripe's page with the voucher or the bank details"},
    )
    voucher_expires_at = fields.AwareDateTime(allow_none=True, load_default=None)


class OrderExpired(OrderSnapshot):
    """The session ended unpaid; `recovery_url` is Stripe's link to the same cart, if there is one."""

    recovery_url = fields.Url(require_tld=False, allow_none=True, load_default=None)
    promotions_consent = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "Stripe's `consent.promotions` of the session, opt_in or opt_out; null: not asked"},
    )


class OrderCanceled(OrderSnapshot):
    """The checkout was canceled before payment, or an operator canceled a paid order before it shipped."""

    reason = fields.String(
        allow_none=True,
        load_default=None,
        metadata={"description": "`operator`: a paid order was canceled; null: the checkout ended before payment"},
    )


class OrderShipped(OrderSnapshot):
    """A parcel was shipped with all or some of the order's pieces."""

    shipment_id = fields.String(required=True)
    carrier = fields.String(allow_none=True, load_default=None)
    tracking = fields.String(allow_none=True, load_default=None)
    tracking_url = fields.Url(require_tld=False, allow_none=True, load_default=None)
    shipped = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))
    is_complete = fields.Boolean(
        required=True, metadata={"description": "nothing of the order is left to ship after this parcel"}
    )
    remaining = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={"description": "pieces left to ship after this parcel, without refunded ones; null: unknown"},
    )
    shipped_before = fields.List(
        fields.Nested(Pieces),
        allow_none=True,
        load_default=None,
        metadata={"description": "pieces in the order's earlier parcels; null: unknown"},
    )


class CustomerErased(Contract):
    """Orders has erased a customer, and every other service must do the same. The event has no personal data."""

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    erased_at = fields.AwareDateTime(required=True)
