"""Checkouts, as customers start them and as operators see them."""

from typing import Any

from events.web.fields import LimitedList
from events.web.pagination import PageArgs
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates

from checkout.config import STRIPE_MAX_LINES
from checkout.creation import CheckoutRequest
from checkout.models import CheckoutPaymentStatus, CheckoutStatus
from checkout.pricing import Item
from checkout.schemas.shared import MAX_CODE_CHARACTERS, PRINTABLE, Currency, EmailAddress, normalize_code

# The languages of Stripe's page: https://docs.stripe.com/api/checkout/sessions/create, `locale`
# fmt: off
LOCALES = (
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA",
    "hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR",
    "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
)
# fmt: on


class CartItem(Schema):
    """One line of a cart."""

    sku = fields.String(required=True, validate=[validate.Length(1, 64), PRINTABLE])
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class NewCheckout(Schema):
    """A cart to pay. The settings limit its lines and pieces.

    In both URLs, `{CHECKOUT_ID}` is replaced by the checkout's id. Without a `shipping_option`, Stripe's page offers
    the five cheapest, and the amounts of the answer include the cheapest. A `discount_code` that is limited per
    customer requires the `customer_email`.
    """

    items = LimitedList(fields.Nested(CartItem), validate.Length(1, STRIPE_MAX_LINES), required=True)
    currency = Currency(load_default=None, allow_none=True)
    customer_email = EmailAddress(load_default=None, allow_none=True, validate=validate.Length(max=320))
    discount_code = fields.String(
        load_default=None, allow_none=True, validate=[validate.Length(1, MAX_CODE_CHARACTERS), PRINTABLE]
    )
    shipping_option = fields.String(load_default=None, allow_none=True, validate=[validate.Length(1, 64), PRINTABLE])
    success_url = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 2000))
    cancel_url = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 2000))
    locale = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(LOCALES))

    @validates("items")
    def validate_skus_are_unique(self, items: list[dict[str, Any]], data_key: str) -> None:  # noqa: ARG002 - marshmallow's
        """Raise `ValidationError` for a sku that has several lines."""
        seen: set[str] = set()
        repeated = []
        for position, item in enumerate(items):
            sku = item.get("sku")  # None: invalid in itself
            if sku in seen:
                repeated.append(position)
            elif sku:
                seen.add(sku)
        if repeated:
            message = "This sku has several lines. Send one line with the total quantity."
            raise ValidationError({position: {"sku": [message]} for position in repeated})

    @post_load
    def to_request(self, data: dict[str, Any], **kwargs: Any) -> CheckoutRequest:  # noqa: ARG002 - marshmallow's
        """Return the loaded fields as a request."""
        code = data.pop("discount_code")
        items = tuple(Item(**item) for item in data.pop("items"))
        return CheckoutRequest(items=items, discount_code=normalize_code(code) or None if code else None, **data)


class StartedCheckout(Schema):
    """A checkout that the customer can pay at `url` until `expires_at`.

    The amounts are those of the start. Taxes, promotion codes and the choice of shipping on Stripe's page can change
    them. The order shows what Stripe charged.
    """

    checkout_id = fields.String(attribute="id")
    session_id = fields.String()
    url = fields.String(allow_none=True)
    expires_at = fields.AwareDateTime()
    currency = fields.String()
    amount_subtotal = fields.Integer()
    amount_discount = fields.Integer()
    amount_shipping = fields.Integer()
    amount_total = fields.Integer()


class CheckoutDetails(StartedCheckout):
    """A checkout with its status: new, open, complete, expired, canceled or abandoned."""

    class Meta:
        exclude = ("url",)

    session_id = fields.String(allow_none=True)
    status = fields.String()


class CheckoutArgs(PageArgs):
    """The query of the list of checkouts. Each filter is optional. Without a status, only open checkouts are listed."""

    status = fields.String(
        load_default=CheckoutStatus.OPEN.value, validate=validate.OneOf([status.value for status in CheckoutStatus])
    )
    payment_status = fields.String(
        load_default=None, validate=validate.OneOf([status.value for status in CheckoutPaymentStatus])
    )
    customer_email = EmailAddress(load_default=None)
    discount_code = fields.String(load_default=None, validate=[validate.Length(1, MAX_CODE_CHARACTERS), PRINTABLE])
    sku = fields.String(load_default=None, validate=[validate.Length(1, 64), PRINTABLE])
    client_key = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="Use a checkout's client_key."),
    )


class CheckoutLine(Schema):
    """One line of a checkout's snapshot."""

    sku = fields.String()
    name = fields.String()
    quantity = fields.Integer()
    unit_amount = fields.Integer()
    amount_total = fields.Integer()


class CheckoutEntry(CheckoutDetails):
    """A checkout as operators see it."""

    class Meta:
        exclude = ("url",)

    created_at = fields.AwareDateTime()
    payment_status = fields.String(allow_none=True)
    customer_email = fields.String(allow_none=True)
    discount_code = fields.String(allow_none=True)
    client_key = fields.String(
        allow_none=True,
        metadata={
            "description": "A hash of the client's IP address; null once the checkout is paid, or 31 days after its"
            " session's end."
        },
    )
    lines = fields.List(fields.Nested(CheckoutLine))


class CheckoutPage(Schema):
    """A page of checkouts, newest first."""

    items = fields.List(fields.Nested(CheckoutEntry))
    next_cursor = fields.String(allow_none=True)
