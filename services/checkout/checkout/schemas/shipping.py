"""Shipping options, as operators write them and as the shop offers them."""

from typing import Any

from events.web.fields import LimitedList
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from checkout.countries import SHIPPING_COUNTRIES
from checkout.schemas.shared import NOT_BLANK, PRINTABLE, Currency, amounts_by_currency, tax_behavior


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

    Shipping is free for goods that cost `free_from` or more after discounts; null: never.
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
    """All active shipping options with a price in the currency, the cheapest first."""

    items = fields.List(fields.Nested(OfferedShipping))
