"""Events of the inventory service."""

from marshmallow import fields, validate

from events.messaging.contracts.shared import Contract, Pieces


class StockLow(Contract):
    """The available pieces of a sku fell to its threshold or below."""

    sku = fields.String(required=True)
    available = fields.Integer(required=True, strict=True)
    threshold = fields.Integer(required=True, strict=True)


class MissingLine(Contract):
    """Of `quantity` paid pieces, `missing` are not in stock."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True)
    missing = fields.Integer(required=True, strict=True)


class ReservationOversold(Contract):
    """A checkout was paid after its reservation had ended, or its pieces were lost or sold again: they are gone."""

    checkout_id = fields.String(required=True)
    lines = fields.List(fields.Nested(MissingLine), required=True)
    return_id = fields.String(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "a return whose refund failed: its pieces are owed again, but were sold meanwhile;"
            " the lines are the return's. null: the pieces were missing when the checkout was paid"
        },
    )


class ReservationExpiring(Contract):
    """A delayed payment is still under way, and its pieces are for sale again at `expires_at`."""

    checkout_id = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))


class ReservationCommitted(Contract):
    """The stock of a checkout that was paid after its session's end was taken: all its pieces were still there."""

    checkout_id = fields.String(required=True)
