"""The schema of a cancellation."""

from typing import Any

from events.web.fields import StrictBoolean
from marshmallow import Schema, fields, post_load, validate

from orders.cancellation import CancelParams
from orders.schemas.refunds import REFUND_REASONS


class NewCancellation(Schema):
    """A cancellation of a paid order that has not shipped. With `refund`, what is left of its payments is refunded."""

    refund = StrictBoolean(required=True)
    restock = StrictBoolean(load_default=True, metadata={"description": "the pieces go back to the stock"})
    reason = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(REFUND_REASONS))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))

    @post_load
    def _to_params(self, data: dict[str, Any], **_: Any) -> CancelParams:
        return CancelParams(**data)
