"""The requests and answers of the inventory's API."""

from typing import Any

from events.web.pagination import PageArgs
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

MAX_SHOWN_AVAILABLE = 100  # enough for every cart; the exact stock and its sales stay private
MAX_PIECES = 1_000_000  # of one sku: more is a typing error, and the columns have 32 bits

SKU = validate.Regexp(r"[^\x00-\x1f\x7f]{1,64}\Z", error="Use 1 to 64 printable characters.")
CHECKOUT_ID = validate.Regexp(r"[A-Za-z0-9_-]{1,64}\Z", error="This is not a checkout id.")


class AvailabilityArgs(PageArgs):
    """The query of the availability: one `sku` parameter for each sku, or none for all."""

    skus = fields.List(fields.String(validate=SKU), data_key="sku", load_default=[], validate=validate.Length(max=100))


class Availability(Schema):
    """The available pieces of one sku, at most `MAX_SHOWN_AVAILABLE`."""

    sku = fields.String(required=True)
    available = fields.Function(lambda item: min(item.available, MAX_SHOWN_AVAILABLE), metadata={"type": "integer"})


class AvailabilityPage(Schema):
    """A page of availabilities."""

    items = fields.List(fields.Nested(Availability), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class StockItem(Schema):
    """The stock of one sku. `available` pieces can still be reserved."""

    sku = fields.String(required=True)
    on_hand = fields.Integer(required=True)
    reserved = fields.Integer(required=True)
    available = fields.Integer(required=True)


class StockPage(Schema):
    """A page of stock items."""

    items = fields.List(fields.Nested(StockItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class NewMovement(Schema):
    """A correction of a sku's stock: `on_hand` sets the counted number, `adjust` is added (negative: lost pieces)."""

    on_hand = fields.Integer(strict=True, validate=validate.Range(0, MAX_PIECES))
    adjust = fields.Integer(strict=True, validate=validate.Range(-MAX_PIECES, MAX_PIECES))
    reason = fields.String(required=True, validate=validate.Length(1, 500))

    @validates_schema
    def _require_one(self, data: dict[str, Any], **_: Any) -> None:
        if len(data.keys() & {"on_hand", "adjust"}) != 1:
            raise ValidationError("Give either on_hand or adjust.", "on_hand")


class MovementItem(Schema):
    """One change of `on_hand`. `actor` is the operator's token or the part of the system that made it."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True)
    delta = fields.Integer(required=True)
    checkout_id = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True)
    actor = fields.String(required=True)
    occurred_at = fields.AwareDateTime(required=True)


class MovementPage(Schema):
    """A page of movements."""

    items = fields.List(fields.Nested(MovementItem), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReservationLine(Schema):
    """`quantity` pieces of one sku."""

    sku = fields.String(required=True, validate=SKU)
    quantity = fields.Integer(required=True, strict=True, validate=validate.Range(1, MAX_PIECES))


class NewReservation(Schema):
    """A checkout's request to reserve its lines."""

    checkout_id = fields.String(required=True, validate=CHECKOUT_ID)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(ReservationLine), required=True, validate=validate.Length(1, 100))


class ReservationExtension(Schema):
    """A reservation's later end."""

    expires_at = fields.AwareDateTime(required=True)


class Reservation(Schema):
    """A checkout's reservation."""

    checkout_id = fields.String(required=True)
    status = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(ReservationLine), required=True)


class OpeningStock(Schema):
    """The opening stock of one product in a catalog file."""

    sku = fields.String(required=True, validate=SKU)
    stock = fields.Integer(load_default=0, strict=True, validate=validate.Range(0, MAX_PIECES))


class Catalog(Schema):
    """A catalog file. The inventory reads the stock from it and ignores all other fields."""

    products = fields.List(fields.Nested(OpeningStock(unknown=EXCLUDE)), required=True)

    class Meta:
        unknown = EXCLUDE
