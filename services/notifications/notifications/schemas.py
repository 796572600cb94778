"""What operators ask and see."""

from events.web.pagination import PageArgs
from marshmallow import Schema, fields, validate

from notifications.kinds import KINDS
from notifications.models import STATUSES


class SearchArgs(PageArgs):
    """Filters, all optional, and paging."""

    status = fields.String(validate=validate.OneOf(STATUSES))
    kind = fields.String(validate=validate.OneOf(KINDS))
    checkout_id = fields.String()
    recipient = fields.String(metadata={"description": "the whole address, as the order bears it"})
    digest_id = fields.String(metadata={"description": "what went out within this digest"})


class Notification(Schema):
    id = fields.String()
    kind = fields.String()
    checkout_id = fields.String(allow_none=True, metadata={"description": "null: about no purchase"})
    subject_key = fields.String(
        metadata={"description": "the order, Stripe session, refund, dispute, … that the mail is about"}
    )
    recipient = fields.String(allow_none=True, metadata={"description": "null: the staff's address"})
    locale = fields.String(allow_none=True)
    status = fields.String(validate=validate.OneOf(STATUSES))
    attempts = fields.Integer()
    next_attempt_at = fields.AwareDateTime(allow_none=True)
    message_id = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    sent_at = fields.AwareDateTime(allow_none=True)
    error = fields.String(
        allow_none=True, metadata={"description": "why it is not sent: what the server said, or what overtook it"}
    )
    resend_of = fields.String(allow_none=True)
    digest_id = fields.String(
        allow_none=True, metadata={"description": "the digest that a staff mail went out with, status collected"}
    )
    requested_by = fields.String(allow_none=True, metadata={"description": "the token's name, for a resend"})


class NotificationPage(Schema):
    items = fields.List(fields.Nested(Notification))
    next_cursor = fields.String(allow_none=True)
