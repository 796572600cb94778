"""The schemas of reviews."""

from events.messaging.contracts.reviews import ReviewDecision
from marshmallow import Schema, fields, validate


class ReviewItem(Schema):
    """A review, and its decision once it is resolved."""

    reason = fields.String(required=True)
    subject = fields.String(
        required=True,
        metadata={
            "description": "The payment, warning, Radar review or return that the review is about; empty if it is about"
            " the whole order."
        },
    )
    detail = fields.String(required=True)
    opened_at = fields.AwareDateTime(required=True)
    decision = fields.String(required=True, allow_none=True, validate=validate.OneOf([*ReviewDecision]))
    resolved_by = fields.String(required=True, allow_none=True)
    resolved_at = fields.AwareDateTime(required=True, allow_none=True)
    note = fields.String(required=True, allow_none=True)


class ReviewResolution(Schema):
    """An operator's decision about all open reviews of an order."""

    decision = fields.String(required=True, validate=validate.OneOf([*ReviewDecision]))
    note = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))
