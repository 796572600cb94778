"""Events of the orders service about the pieces of its orders, for the stock."""

from marshmallow import fields, validate

from events.messaging.contracts.shared import Contract, Pieces


class StockReturned(Contract):
    """Sold pieces go back to the stock: by a refund with restock, a cancellation, or a decision on a review."""

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    return_id = fields.String(
        required=True, metadata={"description": "the id of this change of the stock: a repeated event has the same id"}
    )
    lines = fields.List(fields.Nested(Pieces), required=True, validate=validate.Length(min=1))


class StockTaken(StockReturned):
    """Pieces of an earlier return leave the stock again: their refund failed, so they are owed again."""


class GoodsChanged(Contract):
    """A refund, a failed refund or a cancellation changed which pieces of a paid order do not ship any more.

    The quantities are totals. Of several events about one order, the one with the highest revision counts.
    """

    order_id = fields.String(required=True)
    checkout_id = fields.String(required=True)
    revision = fields.Integer(required=True, strict=True)
    canceled = fields.List(
        fields.Nested(Pieces),
        required=True,
        metadata={"description": "all unshipped pieces refunded or canceled; empty once their refunds failed"},
    )
