"""What the API takes and gives."""

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

MAX_PIECES = 1_000_000  # of one sku: more is a typing error, and the columns are 32 bits wide

SKU = validate.Regexp(r"[^\x00-\x1f\x7f]{1,64}\Z", error="Has 1 to 64 printable characters.")
CHECKOUT_ID = validate.Regexp(r"[A-Za-z0-9_-]{1,64}\Z", error="Is not a checkout id.")


class StockItem(Schema):
    """`available` is what can still be reserved."""

    sku = fields.String(required=True)
    on_hand = fields.Integer(required=True)
    reserved = fields.Integer(required=True)
    available = fields.Integer(required=True)


class StockPage(Schema):
    items = fields.List(fields.Nested(StockItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class StockChange(Schema):
    """`on_hand`: how many were counted. `adjust`: how many came in, or (negative) were lost."""

    on_hand = fields.Integer(strict=True, validate=validate.Range(0, MAX_PIECES))
    adjust = fields.Integer(strict=True, validate=validate.Range(-MAX_PIECES, MAX_PIECES))
    reason = fields.String(required=True, validate=validate.Length(1, 500))

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if len(data.keys() & {"on_hand", "adjust"}) != 1:
            raise ValidationError("Give either on_hand or adjust.", "on_hand")


class MovementItem(Schema):
    """One change of what is on hand; `actor` is who or what made it."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    delta = fields.Integer(required=True)
    checkout_id = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True)
    actor = fields.String(required=True)
    at = fields.AwareDateTime(required=True)


class MovementPage(Schema):
    items = fields.List(fields.Nested(MovementItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReservationLineItem(Schema):
    sku = fields.String(required=True, validate=SKU)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(1, MAX_PIECES))


class NewReservation(Schema):
    checkout_id = fields.String(required=True, validate=CHECKOUT_ID)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(ReservationLineItem), required=True, validate=validate.Length(1, 100))


class ReservationExtension(Schema):
    expires_at = fields.AwareDateTime(required=True)


class ReservationState(Schema):
    checkout_id = fields.String(required=True)
    status = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(ReservationLineItem), required=True)


class OpeningStock(Schema):
    sku = fields.String(required=True, validate=SKU)
    stock = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, MAX_PIECES))


class Catalogue(Schema):
    """A catalogue's file, of which only the stock is inventory's."""

    products = fields.List(fields.Nested(OpeningStock(unknown=EXCLUDE)), required=True)

    class Meta:
        unknown = EXCLUDE
