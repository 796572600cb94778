"""The schemas of shipments."""

from typing import Any

from events.web.fields import LimitedList, StrictBoolean
from marshmallow import Schema, fields, post_load, validate, validates_schema

from orders.schemas.shared import MAX_LINES, Pieces, check_exactly_one
from orders.shipments import ShipmentParams


class PublicShipment(Schema):
    """A parcel, for its customer."""

    carrier = fields.String(required=True, allow_none=True)
    tracking = fields.String(required=True, allow_none=True)
    tracking_url = fields.String(required=True, allow_none=True)
    shipped_at = fields.AwareDateTime(required=True)


class ShipmentItem(PublicShipment):
    """A parcel with its pieces."""

    id = fields.String(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True)
    override = fields.String(
        required=True, allow_none=True, metadata={"description": "why it shipped in spite of a chargeback"}
    )
    shipped_by = fields.String(required=True)


class NewShipment(Schema):
    """A new parcel with `all` owed pieces, or with `lines`: exactly one of them."""

    all = StrictBoolean(validate=validate.Equal(True))
    carrier = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=64))
    tracking = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1, max=128))
    tracking_url = fields.Url(load_default=None, allow_none=True, schemes={"http", "https"}, require_tld=False)
    override = fields.String(
        load_default=None,
        allow_none=True,
        validate=[
            validate.Length(min=1, max=500),
            validate.Regexp(r".*\S", error="Write the reason: spaces alone are not enough."),
        ],
        metadata={"description": "the reason to ship in spite of an open or lost chargeback"},
    )
    lines = LimitedList(fields.Nested(Pieces), validate.Length(min=1, max=MAX_LINES))

    @validates_schema
    def _check_extent(self, data: dict[str, Any], **_: Any) -> None:
        check_exactly_one(data, "all", "lines")

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> ShipmentParams:
        return ShipmentParams(**data)
