"""Discounts, as operators write them."""

from typing import Any

from events.web.fields import Instant
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from checkout.schemas.shared import MAX_CODE_CHARACTERS, PRINTABLE, amounts_by_currency

MAX_USES = 1_000_000_000  # of a discount: fits into the integer column


def usage_limit() -> fields.Integer:
    """Return a field for a maximum number of uses; null: no limit."""
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
            raise ValidationError("Send either percent_off or amounts_off, not both.", "percent_off")

    @validates_schema
    def validate_period(self, data: dict[str, Any], **kwargs: Any) -> None:  # noqa: ARG002 - marshmallow's signature
        """Raise `ValidationError` for a period that ends before it starts."""
        if data["starts_at"] and data["ends_at"] and data["ends_at"] <= data["starts_at"]:
            raise ValidationError("Must be after starts_at.", "ends_at")


class DiscountCode(Schema):
    """The code of a discount, from the path."""

    code = fields.String(required=True, validate=[validate.Length(1, MAX_CODE_CHARACTERS), PRINTABLE])


class DiscountEntry(DiscountCode, DiscountFields):
    """A discount with its uses by paid checkouts (`used`) and by checkouts that may still be paid (`held`)."""

    used = fields.Integer(dump_only=True)
    held = fields.Integer(dump_only=True)


class DiscountPage(Schema):
    """A page of discounts."""

    items = fields.List(fields.Nested(DiscountEntry))
    next_cursor = fields.String(allow_none=True)
