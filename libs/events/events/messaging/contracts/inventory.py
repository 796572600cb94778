"""Events of the inventory service."""

from marshmallow import fields, validate

from events.messaging.contracts.shared import Contract, Pieces


class StockLow(Contract):
    """The available pieces of a sku fell to `threshold` or below."""

    sku = fields.String(required=True)
    available = fields.Integer(required=True, strict=True)
    threshold = fields.Integer(required=True, strict=True)


class MissingLine(Contract):
    """One sku of which `missing` of `quantity` paid pieces are not in stock."""

    sku = fields.String(required=True)
    quantity = fields.Integer(required=True, strict=True)
    missing = fields.Integer(required=True, strict=True)


class ReservationOversold(Contract):
    """Pieces of a paid checkout are not in stock.

    The checkout was paid late, an operator released its pieces, pieces were lost, or a return whose refund later failed
    was sold again.
    """

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
    """A delayed payment is still under way, and its reservation ends soon.

    The pieces are for sale again at `expires_at`, unless the reservation is extended.
    """

    checkout_id = fields.String(required=True)
    expires_at = fields.AwareDateTime(required=True)
    lines = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))


class ReservationDoubted(Contract):
    """The reserved pieces of an unpaid checkout may be gone: pieces were lost, or an operator released them.

    Inventory answers the checkout's payment with `inventory.reservation.committed` or `inventory.reservation.oversold`.
    """

    checkout_id = fields.String(required=True)


class ReservationCommitted(Contract):
    """A checkout was paid late, or its pieces were in doubt, but all of them were still in stock and were taken."""

    checkout_id = fields.String(required=True)
