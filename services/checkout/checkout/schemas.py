"""What the API takes and gives. Amounts are integers in the currency's minor unit, currencies lower-case."""

from collections.abc import Mapping
from typing import Any

from events.money import MAXIMUM, SUPPORTED, is_valid_amount
from events.web.pagination import PageArgs
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate, validates, validates_schema

from checkout.agreements import Wish
from checkout.models import EXCLUSIVE, INCLUSIVE
from checkout.pricing import Item

MAX_USES = 1_000_000_000  # of a discount: what the columns hold
MAX_CODE = 40  # characters of a discount code: Stripe shows it as the name of a coupon
# The languages of Stripe's page: https://docs.stripe.com/api/checkout/sessions/create, `locale`
# fmt: off
LOCALES = (
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA",
    "hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR",
    "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
)
# fmt: on


PRINTABLE = validate.Regexp(r"[^\x00-\x1f\x7f]*\Z", error="Contains control characters.")


class Currency(fields.String):
    """A currency that Stripe takes."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        currency = super()._deserialize(value, attr, data, **kwargs).lower()
        if currency not in SUPPORTED:
            raise ValidationError("Not a currency that is supported.")
        return currency


def valid_amounts(amounts: Mapping[str, int]) -> None:
    wrong = [currency for currency, amount in amounts.items() if not is_valid_amount(amount, currency)]
    if wrong:
        raise ValidationError({currency: ["Not an amount that Stripe takes."] for currency in wrong})


def amounts_by_currency(smallest: int, **kwargs: Any) -> fields.Dict:
    """Minor units by currency."""
    amount = fields.Integer(strict=True, validate=validate.Range(smallest, MAXIMUM))
    return fields.Dict(keys=Currency(), values=amount, validate=valid_amounts, **kwargs)


class TaxBehavior(fields.String):
    """Whether a price includes the taxes that Stripe's automatic tax finds."""

    def __init__(self) -> None:
        super().__init__(load_default=INCLUSIVE, validate=validate.OneOf((INCLUSIVE, EXCLUSIVE)))


class CartItem(Schema):
    sku = fields.String(required=True, validate=[validate.Length(1, 64), PRINTABLE])
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(min=1))


class NewCheckout(Schema):
    """A cart to pay for, of as many lines and pieces as the settings allow.

    In both addresses `{CHECKOUT_ID}` is replaced by the checkout's id. A cart that names no `shipping_option` gets what
    is cheapest for it. A `discount_code` that each customer may use a number of times wants the `customer_email`.
    """

    items = fields.List(fields.Nested(CartItem), required=True, validate=validate.Length(min=1))
    currency = Currency(load_default=None, allow_none=True)
    customer_email = fields.Email(load_default=None, allow_none=True, validate=validate.Length(max=320))
    discount_code = fields.String(
        load_default=None, allow_none=True, validate=[validate.Length(1, MAX_CODE), PRINTABLE]
    )
    shipping_option = fields.String(load_default=None, allow_none=True, validate=[validate.Length(1, 64), PRINTABLE])
    success_url = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 2000))
    cancel_url = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 2000))
    locale = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(LOCALES))

    @validates("items")
    def each_sku_once(self, items: list[dict[str, Any]], data_key: str) -> None:  # noqa: ARG002 - marshmallow's
        skus = [item.get("sku") for item in items]  # None: not valid in itself
        twice = [position for position, sku in enumerate(skus) if sku and sku in skus[:position]]
        if twice:
            raise ValidationError({position: {"sku": ["Listed twice; add the quantities up."]} for position in twice})

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:  # noqa: ARG002 - marshmallow's signature
        code = data.pop("discount_code")
        items = tuple(Item(**item) for item in data.pop("items"))
        return Wish(items=items, discount_code=normal_code(code) if code else None, **data)


def normal_code(code: str) -> str:
    """Customers type codes as they like."""
    return code.strip().upper()


class StartedCheckout(Schema):
    checkout_id = fields.String(attribute="id")
    session_id = fields.String()
    url = fields.String(allow_none=True)
    expires_at = fields.AwareDateTime()
    currency = fields.String()
    amount_subtotal = fields.Integer()
    amount_discount = fields.Integer()
    amount_shipping = fields.Integer()
    amount_total = fields.Integer()


class CheckoutStatus(StartedCheckout):
    """new, open, complete, expired, canceled or abandoned."""

    class Meta:
        exclude = ("url",)

    session_id = fields.String(allow_none=True)
    status = fields.String()


class ProductFields(Schema):
    group = fields.String(required=True, validate=validate.Length(1, 64))
    size = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=16))
    name = fields.String(required=True, validate=validate.Length(1, 200))
    description = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=2000))
    image = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=2000))
    prices = amounts_by_currency(1, required=True)
    tax_code = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=32))
    tax_behavior = TaxBehavior()
    tax_rates = fields.List(
        fields.String(validate=validate.Regexp(r"txr_\w{1,250}\Z")),
        load_default=list,
        validate=validate.Length(max=5),
        metadata={"description": "ids of fixed rates at Stripe, for shops without automatic tax"},
    )
    active = fields.Boolean(load_default=True)


class ProductEntry(ProductFields):
    sku = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9._-]{1,64}\Z"))


class ProductArgs(PageArgs):
    currency = Currency(load_default=None)


class ListedProduct(Schema):
    """`available` is null while the stock is not known."""

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
    items = fields.List(fields.Nested(ListedProduct))
    next_cursor = fields.String(allow_none=True)


def uses() -> fields.Integer:
    return fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, MAX_USES))


class DiscountFields(Schema):
    """Either `percent_off` or `amounts_off`; for goods worth `minimums`, before `ends_at`, so many times."""

    percent_off = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, 100))
    amounts_off = amounts_by_currency(1, load_default=None, allow_none=True)
    minimums = amounts_by_currency(0, load_default=dict)
    starts_at = fields.AwareDateTime(load_default=None, allow_none=True)
    ends_at = fields.AwareDateTime(load_default=None, allow_none=True)
    limit_total = uses()
    limit_per_email = uses()
    active = fields.Boolean(load_default=True)

    @validates_schema
    def one_of_both(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        if bool(data["percent_off"]) == bool(data["amounts_off"]):
            raise ValidationError("Give either percent_off or amounts_off.", "percent_off")

    @validates_schema
    def ends_after_it_starts(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's
        if data["starts_at"] and data["ends_at"] and data["ends_at"] <= data["starts_at"]:
            raise ValidationError("Is not after starts_at.", "ends_at")


class DiscountCode(Schema):
    code = fields.String(required=True, validate=[validate.Length(1, MAX_CODE), PRINTABLE])


class DiscountEntry(DiscountCode, DiscountFields):
    """`used` checkouts were paid with it, `held` may still be; those that ended unpaid gave theirs back."""

    used = fields.Integer(dump_only=True)
    held = fields.Integer(dump_only=True)


class DiscountPage(Schema):
    items = fields.List(fields.Nested(DiscountEntry))
    next_cursor = fields.String(allow_none=True)


class ShippingFields(Schema):
    """`countries` (ISO 3166) that it reaches; none: all that the shop ships to."""

    name = fields.String(required=True, validate=validate.Length(1, 100))
    amounts = amounts_by_currency(0, required=True)
    free_from = amounts_by_currency(0, load_default=dict)
    countries = fields.List(fields.String(validate=validate.Regexp(r"[A-Z]{2}\Z")), load_default=list)
    tax_behavior = TaxBehavior()
    min_days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 365))
    max_days = fields.Integer(required=True, strict=True, validate=validate.Range(1, 365))
    active = fields.Boolean(load_default=True)

    @validates_schema
    def days_in_order(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        if data["max_days"] < data["min_days"]:
            raise ValidationError("Is less than min_days.", "max_days")


class ShippingId(Schema):
    id = fields.String(required=True, validate=[validate.Length(1, 64), PRINTABLE])


class ShippingEntry(ShippingId, ShippingFields):
    """A way of shipping as it is stored."""


class ShippingArgs(Schema):
    currency = Currency(load_default=None)


class OfferedShipping(Schema):
    """It costs `amount`, nothing for goods worth `free_from` (after discounts; null: never), in business days."""

    id = fields.String()
    name = fields.String()
    currency = fields.String()
    amount = fields.Integer()
    free_from = fields.Integer(allow_none=True)
    countries = fields.List(fields.String())
    min_days = fields.Integer()
    max_days = fields.Integer()


class OfferedShippingList(Schema):
    items = fields.List(fields.Nested(OfferedShipping))


class Catalogue(Schema):
    """A catalogue's file; the stock that it may name is inventory's."""

    products = fields.List(fields.Nested(ProductEntry(unknown=EXCLUDE)), load_default=list)
    discounts = fields.List(fields.Nested(DiscountEntry(unknown=EXCLUDE)), load_default=list)
    shipping_options = fields.List(fields.Nested(ShippingEntry(unknown=EXCLUDE)), load_default=list)
