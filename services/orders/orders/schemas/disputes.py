"""The schemas of disputes."""

from typing import Any

from events.web.pagination import PageArgs
from marshmallow import Schema, fields

from orders.models.disputes import Dispute
from orders.models.orders import Order


class DisputeItem(Schema):
    """A dispute with Stripe's `status`. An inquiry moves no money. Its status begins with `warning_`."""

    id = fields.String(required=True)
    payment_id = fields.String(required=True)
    status = fields.String(required=True)
    amount = fields.Integer(required=True)
    currency = fields.String(required=True)
    amount_withdrawn = fields.Integer(
        required=True, allow_none=True, metadata={"description": "all that the bank withdrew from the shop"}
    )
    amount_reinstated = fields.Integer(
        required=True, allow_none=True, metadata={"description": "all that the bank returned to the shop"}
    )
    amount_held = fields.Integer(
        required=True, allow_none=True, metadata={"description": "the part of `amount` that the bank keeps now"}
    )
    reason = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    evidence_due_by = fields.AwareDateTime(required=True, allow_none=True)
    funds_withdrawn_at = fields.AwareDateTime(required=True, allow_none=True)
    funds_reinstated_at = fields.AwareDateTime(required=True, allow_none=True)
    closed_at = fields.AwareDateTime(required=True, allow_none=True)


class DisputeRow(DisputeItem):
    """A dispute in a list, with its order."""

    order_id = fields.String(required=True)
    order_number = fields.String(required=True)


class DisputePage(Schema):
    """One page of disputes."""

    items = fields.List(fields.Nested(DisputeRow), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class DisputeArgs(PageArgs):
    """The filter and paging of disputes."""

    open = fields.Boolean(
        load_default=True, metadata={"description": "true: only disputes that are not closed; false: all"}
    )


def dispute_row(dispute: Dispute, order: Order) -> dict[str, Any]:
    """Return the values of a `DisputeRow`."""
    shown = {name: getattr(dispute, name) for name in DisputeItem().fields}
    return shown | {"order_id": order.id, "order_number": order.number}
