"""The requests and answers of the notifications' API."""

from typing import Any

from events.web.fields import Instant, SearchText, StrictBoolean
from events.web.pagination import PageArgs
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from notifications.kinds import KINDS
from notifications.message import address
from notifications.models import EmailStatus
from notifications.resending import RESENT_IN_BULK


def _check_address(text: str) -> None:
    try:
        address(text)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class Filters(Schema):
    """The filters of searches and bulk resends, all optional."""

    status = fields.String(validate=validate.OneOf([*EmailStatus]))
    kind = fields.String(validate=validate.OneOf(KINDS))
    checkout_id = SearchText()
    recipient = SearchText(metadata={"description": "the whole address, exactly as the e-mail has it"})
    digest_id = SearchText(metadata={"description": "the e-mails that this digest contains"})
    error = SearchText(
        metadata={
            "description": "a part of the text in `error`; suppressed e-mails are found only with `status=suppressed`"
        },
    )
    created_from = Instant(metadata={"description": "created at this time or later"})
    created_to = Instant(metadata={"description": "created before this time"})


class SearchArgs(PageArgs, Filters):
    """The filters and the page of a search."""


class ResendArgs(Schema):
    """A resend. The body can be left out."""

    recipient = fields.String(
        load_default=None,
        allow_none=False,
        validate=[validate.Length(max=320), _check_address],
        metadata={
            "description": "a corrected address of the customer. If you leave it out, the resend has the same recipient"
        },
    )


class BulkResendArgs(Filters):
    """A bulk resend: at least one filter, or `all`. A forgotten filter must not resend everything."""

    status = fields.String(
        validate=validate.OneOf(RESENT_IN_BULK, error="{input} e-mails are not resent in bulk. Use one of: {choices}.")
    )
    all = StrictBoolean(
        load_default=False,
        metadata={"description": "true: no filter is needed; without one, all sent, failed and unknown e-mails match"},
    )
    limit = fields.Integer(
        load_default=100,
        strict=True,
        validate=validate.Range(min=1, max=1000),
        metadata={"description": "the maximum number of e-mails to resend"},
    )
    dry_run = StrictBoolean(
        load_default=False, metadata={"description": "true: return which e-mails would be resent, and resend none"}
    )

    @validates_schema
    def _require_a_filter(self, data: dict[str, Any], **_: object) -> None:
        if not data["all"] and not data.keys() & Filters().fields.keys():
            raise ValidationError("Give a filter, or all: true for all e-mails.", "all")


class BulkResend(Schema):
    """The result of a bulk resend, or of its dry run."""

    notification_ids = fields.List(
        fields.String(), metadata={"description": "the e-mails that are resent; in a dry run, those that would be"}
    )
    resend_ids = fields.List(fields.String(), metadata={"description": "their resends; none in a dry run"})
    matching = fields.Integer(metadata={"description": "the number of e-mails that match, also beyond the limit"})
    dry_run = StrictBoolean()


class Notification(Schema):
    """One e-mail as operators see it, without its text."""

    id = fields.String()
    kind = fields.String()
    checkout_id = fields.String(allow_none=True, metadata={"description": "null: the e-mail is about no checkout"})
    subject_key = fields.String(
        metadata={"description": "the order, Stripe session, refund, dispute, … that the e-mail is about"}
    )
    recipient = fields.String(allow_none=True, metadata={"description": "null: the staff, or an erased customer"})
    locale = fields.String(allow_none=True)
    status = fields.String(validate=validate.OneOf([*EmailStatus]))
    attempts = fields.Integer()
    next_attempt_at = fields.AwareDateTime(
        allow_none=True,
        metadata={
            "description": "when the e-mail is due; with status `sending`, when its claim ends; null: no more attempts"
        },
    )
    message_id = fields.String(allow_none=True)
    created_at = fields.AwareDateTime()
    sent_at = fields.AwareDateTime(allow_none=True)
    error = fields.String(
        allow_none=True,
        metadata={"description": "why the e-mail is not sent: the server's answer, or why it is suppressed"},
    )
    resend_of = fields.String(
        allow_none=True, metadata={"description": "for a resend: the id of the e-mail that it copies"}
    )
    digest_id = fields.String(
        allow_none=True,
        metadata={"description": "with status `collected`: the id of the digest that contains the e-mail"},
    )
    requested_by = fields.String(
        allow_none=True, metadata={"description": "for a resend: the name of the operator's token"}
    )


class NotificationPage(Schema):
    """A page of e-mails."""

    items = fields.List(fields.Nested(Notification))
    next_cursor = fields.String(allow_none=True)
