"""The requests and responses of the API. Amounts are integers in minor units, currencies are in lower case."""

from collections.abc import Mapping
from typing import Any

import idna
from events.money import SUPPORTED, format_amount, is_valid_amount, maximum, step
from events.web.fields import Instant, LimitedDict, LimitedList
from events.web.pagination import PageArgs
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates, validates_schema

from checkout.config import STRIPE_MAX_LINES
from checkout.countries import SHIPPING_COUNTRIES
from checkout.creation import CheckoutRequest
from checkout.images import MAX_URL_CHARACTERS as MAX_IMAGE_URL_CHARACTERS
from checkout.images import encode_image, is_allowed_image
from checkout.models import CheckoutPaymentStatus, CheckoutStatus, TaxBehavior
from checkout.pricing import Item

MAX_USES = 1_000_000_000  # of a discount: fits into the integer column
MAX_CODE_CHARACTERS = 40  # characters of a discount code: the limit of a coupon's name at Stripe
# The languages of Stripe's page: https://docs.stripe.com/api/checkout/sessions/create, `locale`
# fmt: off
LOCALES = (
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA",
    "hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR",
    "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
)
# fmt: on

PRINTABLE = validate.Regexp(r"[^\x00-\x1f\x7f]*\Z", error="Remove the control characters.")
NOT_BLANK = validate.Regexp(r"(?s).*\S", error="Write some text: Stripe refuses spaces alone.")


class Currency(fields.String):
    """A currency that Stripe supports; read in any case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        currency = super()._deserialize(value, attr, data, **kwargs).lower()
        if currency not in SUPPORTED:
            raise ValidationError("Use a currency that Stripe supports.")
        return currency


class EmailAddress(fields.Email):
    """An e-mail address that Stripe accepts; its domain is read in any script and stored in ASCII (IDNA 2008)."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        address = super()._deserialize(value, attr, data, **kwargs).strip()
        local, at, domain = address.rpartition("@")
        if not local.isascii():
            raise ValidationError("Use only ASCII characters before the @.")
        try:
            return local + at + idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise ValidationError("The part after the @ is not a domain.") from None


def amounts_by_currency(smallest: int, **kwargs: Any) -> LimitedDict:
    """Return a field for amounts of at least `smallest`, in minor units by currency."""
    amount = fields.Integer(strict=True, validate=validate.Range(smallest))
    length = validate.Length(max=2 * len(SUPPORTED))  # each in upper and in lower case; the last one counts
    return LimitedDict(length, keys=Currency(), values=amount, validate=_validate_amounts, **kwargs)


def _validate_amounts(amounts: Mapping[str, int]) -> None:
    invalid = [currency for currency, amount in amounts.items() if not is_valid_amount(amount, currency)]
    errors = {
        currency: [f"Stripe accepts only multiples of {step(currency)} in this currency."] for currency in invalid
    }
    errors |= {
        currency: [f"Stripe accepts at most {format_amount(maximum(currency), currency)}."]
        for currency, amount in amounts.items()
        if amount > maximum(currency)
    }
    if errors:
        raise ValidationError(errors)


def tax_behavior() -> fields.String:
    """Return a field for the kind of a price: with the tax of Stripe's automatic tax, or without it."""
    return fields.String(
        load_default=TaxBehavior.INCLUSIVE.value, validate=validate.OneOf([kind.value for kind in TaxBehavior])
    )


class CartItem(Schema):
    """One line of a cart."""

    sku = fields.String(required=True, validate=[validate.Length(1, 64), PRINTABLE])
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class NewCheckout(Schema):
    """A cart to pay. The settings limit its lines and pieces.

    In both URLs, `{CHECKOUT_ID}` is replaced by the checkout's id. A cart without a `shipping_option` offers all of
    them on Stripe's page, up to five, and the amounts of the answer are with the cheapest. A `discount_code` that is
    limited per customer requires the `customer_email`.
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


def normalize_code(code: str) -> str:
    """Return a discount code as it is stored: customers may type it in any case."""
    return code.strip().upper()


class StartedCheckout(Schema):
    """A checkout that the customer can pay."""

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
    """The query of the checkouts; each filter is optional. Without a status, the open ones are listed."""

    status = fields.String(
        load_default=CheckoutStatus.OPEN.value, validate=validate.OneOf([status.value for status in CheckoutStatus])
    )
    payment_status = fields.String(
        load_default=None, validate=validate.OneOf([status.value for status in CheckoutPaymentStatus])
    )
    customer_email = EmailAddress(load_default=None)
    discount_code = fields.String(load_default=None, validate=[validate.Length(1, MAX_CODE_CHARACTERS), PRINTABLE])
    sku = fields.String(load_default=None, validate=[validate.Length(1, 64), PRINTABLE])
    client_key = fields.String(load_default=None, validate=validate.Regexp(r"[0-9a-f]{64}\Z"))


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
        allow_none=True, metadata={"description": "A hash of the client's address, while the checkout is unpaid."}
    )
    lines = fields.List(fields.Nested(CheckoutLine))


class CheckoutPage(Schema):
    """A page of checkouts, newest first."""

    items = fields.List(fields.Nested(CheckoutEntry))
    next_cursor = fields.String(allow_none=True)


class ProductFields(Schema):
    """The fields of a product that operators write."""

    group = fields.String(required=True, validate=[validate.Length(1, 64), NOT_BLANK])
    size = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=16), NOT_BLANK])
    name = fields.String(required=True, validate=[validate.Length(1, 200), NOT_BLANK])
    description = fields.String(load_default=None, allow_none=True, validate=[validate.Length(max=2000), NOT_BLANK])
    image = fields.String(
        load_default=None,
        allow_none=True,
        metadata={"description": "An https URL, or a path below the shop's URL."},
    )
    prices = amounts_by_currency(1, required=True)
    tax_code = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"txcd_[0-9]{8}\Z", error="Use a tax code of Stripe, such as txcd_30011000."),
    )
    tax_behavior = tax_behavior()
    tax_rates = LimitedList(
        fields.String(validate=validate.Regexp(r"txr_[A-Za-z0-9_]{1,250}\Z")),
        validate.Length(max=5),
        load_default=list,
        metadata={"description": "Ids of fixed rates at Stripe, for shops without automatic tax."},
    )
    active = fields.Boolean(load_default=True)

    @validates("image")
    def validate_image(self, image: str | None, data_key: str) -> None:  # noqa: ARG002 - marshmallow's
        """Raise `ValidationError` for an image that Stripe's page cannot show."""
        if image is None:
            return
        if not is_allowed_image(image):
            raise ValidationError("Use an https URL, or a path below the shop's URL: /img/shirt.jpg.")
        if len(encode_image(image)) > MAX_IMAGE_URL_CHARACTERS:
            raise ValidationError(f"Use a URL of at most {MAX_IMAGE_URL_CHARACTERS} characters.")


class ProductEntry(ProductFields):
    """A product as it is stored."""

    sku = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9._-]{1,64}\Z"))


class ProductArgs(PageArgs):
    """The query parameters of the product list."""

    currency = Currency(load_default=None)


class ListedProduct(Schema):
    """A product for sale in one currency; `available` is null while the stock is not known."""

    sku = fields.String()
    group = fields.String()
    size = fields.String(allow_none=True)
    name = fields.String()
    description = fields.String(allow_none=True)
    image = fields.String(allow_none=True)
    unit_amount = fields.Integer()
    currency = fields.String()
    available = fields.Integer(allow_none=True)


class ProductPage(Schema):
    """A page of products."""

    items = fields.List(fields.Nested(ListedProduct))
    next_cursor = fields.String(allow_none=True)


def usage_limit() -> fields.Integer:
    """Return a field for a maximum number of uses."""
    return fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, MAX_USES))


class DiscountFields(Schema):
    """A percentage or amounts off, with optional minimums, validity period and usage limits."""

    percent_off = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, 100))
    amounts_off = amounts_by_currency(1, load_default=None, allow_none=True)
    minimums = amounts_by_currency(0, load_default=dict)
    starts_at = Instant(load_default=None, allow_none=True)
    ends_at = Instant(load_default=None, allow_none=True)
    limit_total = usage_limit()
    limit_per_email = usage_limit()
    active = fields.Boolean(load_default=True)

    @validates_schema
    def validate_kind(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        """Raise `ValidationError` unless the discount is either a percentage or amounts."""
        if bool(data["percent_off"]) == bool(data["amounts_off"]):
            raise ValidationError("Send either percent_off or amounts_off.", "percent_off")

    @validates_schema
    def validate_period(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        """Raise `ValidationError` for a period that ends before it starts."""
        if data["starts_at"] and data["ends_at"] and data["ends_at"] <= data["starts_at"]:
            raise ValidationError("Must be after starts_at.", "ends_at")


class DiscountCode(Schema):
    """The code of a discount, from the path."""

    code = fields.String(required=True, validate=[validate.Length(1, MAX_CODE_CHARACTERS), PRINTABLE])


class DiscountEntry(DiscountCode, DiscountFields):
    """A discount as it is stored, with the number of paid checkouts (`used`) and of open ones (`held`)."""

    used = fields.Integer(dump_only=True)
    held = fields.Integer(dump_only=True)


class DiscountPage(Schema):
    """A page of discounts."""

    items = fields.List(fields.Nested(DiscountEntry))
    next_cursor = fields.String(allow_none=True)


class ShippingFields(Schema):
    """The fields of a shipping option that operators write.

    `countries` (ISO 3166) limits the destinations; an empty list allows all that the shop ships to.
    """

    name = fields.String(required=True, validate=[validate.Length(1, 100), NOT_BLANK])
    amounts = amounts_by_currency(0, required=True)
    free_from = amounts_by_currency(0, load_default=dict)
    countries = LimitedList(
        fields.String(
            validate=validate.OneOf(
                sorted(SHIPPING_COUNTRIES), error="Stripe's page cannot ask for addresses in this country."
            )
        ),
        validate.Length(max=len(SHIPPING_COUNTRIES)),
        load_default=list,
    )
    tax_behavior = tax_behavior()
    min_days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 365))
    max_days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 365))
    active = fields.Boolean(load_default=True)

    @validates_schema
    def validate_days(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        """Raise `ValidationError` for a maximum below the minimum."""
        if data["max_days"] < data["min_days"]:
            raise ValidationError("Must not be less than min_days.", "max_days")


class ShippingId(Schema):
    """The id of a shipping option, from the path."""

    id = fields.String(required=True, validate=[validate.Length(1, 64), PRINTABLE])


class ShippingEntry(ShippingId, ShippingFields):
    """A shipping option as it is stored."""


class ShippingArgs(Schema):
    """The query parameters of the list of shipping options."""

    currency = Currency(load_default=None)


class OfferedShipping(Schema):
    """A shipping option in one currency; `min_days` and `max_days` are business days.

    It is free for goods that cost `free_from` or more after discounts; null: never.
    """

    id = fields.String()
    name = fields.String()
    currency = fields.String()
    amount = fields.Integer()
    free_from = fields.Integer(allow_none=True)
    countries = fields.List(fields.String())
    min_days = fields.Integer()
    max_days = fields.Integer()


class OfferedShippingList(Schema):
    """All shipping options."""

    items = fields.List(fields.Nested(OfferedShipping))


class Catalog(Schema):
    """A catalog file. Inventory reads the same file for the stock of new products."""

    products = fields.List(fields.Nested(ProductEntry(unknown=EXCLUDE)), load_default=list)
    discounts = fields.List(fields.Nested(DiscountEntry(unknown=EXCLUDE)), load_default=list)
    shipping_options = fields.List(fields.Nested(ShippingEntry(unknown=EXCLUDE)), load_default=list)
