"""Events of the inventory service."""

from marshmallow import fields, validate

from events.messaging.contracts.shared import Contract, Pieces


class StockLow(Contract):
    """The available pieces of a sku fell to `threshold` or below."""

    sku = fields.String(required=True)
    available = fields.Integer(required=True, strict=True)
    threshold = fields.Integer(required=True, strict=True)


class MissingLine(Contract):
    """Of `quantity` paid pieces, `missing` are not in stock."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True)
    missing = fields.Integer(required=True, strict=True)


class ReservationOversold(Contract):
    """Pieces of a paid checkout are not in stock: it was paid late, they were lost, or a return was sold again."""

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
    """All pieces of a checkout were still in stock and were taken. It was paid after its session's end."""

    checkout_id = fields.String(required=True)
