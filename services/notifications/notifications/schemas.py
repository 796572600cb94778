"""The requests and answers of the notifications' API."""

from events.web.pagination import PageArgs
from marshmallow import Schema, fields, validate

from notifications.kinds import KINDS
from notifications.models import Status


class SearchArgs(PageArgs):
    """The filters of a search, all optional."""

    status = fields.String(validate=validate.OneOf([*Status]))
    kind = fields.String(validate=validate.OneOf(KINDS))
    checkout_id = fields.String()
    recipient = fields.String(metadata={"description": "the whole address, as in the order"})
    digest_id = fields.String(metadata={"description": "the mails that were sent within this digest"})


class Notification(Schema):
    """One mail."""

    id = fields.String()
    kind = fields.String()
    checkout_id = fields.String(allow_none=True, metadata={"description": "null: the mail is about no checkout"})
    subject_key = fields.String(
        metadata={"description": "the order, Stripe session, refund, dispute, … that the mail is about"}
    )
    recipient = fields.String(allow_none=True, metadata={"description": "null: the staff's address"})
    locale = fields.String(allow_none=True)
    status = fields.String(validate=validate.OneOf([*Status]))
    attempts = fields.Integer()
    next_attempt_at = fields.AwareDateTime(allow_none=True)
    message_id = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    sent_at = fields.AwareDateTime(allow_none=True)
    error = fields.String(
        allow_none=True, metadata={"description": "why it is not sent: the server's answer, or what made it stale"}
    )
    resend_of = fields.String(allow_none=True)
    digest_id = fields.String(
        allow_none=True, metadata={"description": "with status collected: the digest that contained the mail"}
    )
    requested_by = fields.String(allow_none=True, metadata={"description": "for a resend: the token's name"})


class NotificationPage(Schema):
    """A page of mails."""

    items = fields.List(fields.Nested(Notification))
    next_cursor = fields.String(allow_none=True)
