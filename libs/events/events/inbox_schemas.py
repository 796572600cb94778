"""The inbox as operators ask for it and see it, by HTTP and on the command line alike."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from events import inbox
from events.inbox_operations import FILTERS, OPEN
from events.web import PageArgs


class Filters(Schema):
    type = fields.String(metadata={"description": "Stripe's type or a routing key"})
    correlation_id = fields.String(metadata={"description": "the checkout id"})
    error = fields.String(metadata={"description": "text in the error"})
    received_from = fields.AwareDateTime()
    received_to = fields.AwareDateTime()


class SearchArgs(PageArgs, Filters):
    status = fields.String(validate=validate.OneOf(inbox.STATUSES))


class ReasonArgs(Schema):
    reason = fields.String(load_default=None)


class BulkArgs(Filters):
    """At least one filter, or `all`: a forgotten filter must not mean everything."""

    status = fields.String(
        validate=validate.OneOf(OPEN, error="Nothing can be done with {input} events; give one of: {choices}.")
    )
    all = fields.Boolean(load_default=False, metadata={"description": "everything that is unfinished"})
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=1000))
    dry_run = fields.Boolean(load_default=False)
    reason = fields.String(load_default=None)

    @validates_schema
    def _require_a_filter(self, data: dict[str, Any], **_: object) -> None:
        if not data["all"] and not data.keys() & FILTERS.keys():
            raise ValidationError("Give a filter, or all: true for everything unfinished.", "all")


class BulkDiscardArgs(BulkArgs):
    reason = fields.String(required=True, validate=validate.Length(min=1))


class InboxRow(Schema):
    event_id = fields.String()
    routing_key = fields.String()
    source = fields.String()
    correlation_id = fields.String(allow_none=True)
    status = fields.String()
    attempts = fields.Integer()
    occurred_at = fields.AwareDateTime()
    received_at = fields.AwareDateTime()
    next_attempt_at = fields.AwareDateTime(allow_none=True)
    finished_at = fields.AwareDateTime(allow_none=True)
    error = fields.String(allow_none=True)


class InboxDetail(InboxRow):
    headers = fields.Dict(allow_none=True)
    traceback = fields.String(allow_none=True)
    payload = fields.Function(lambda row: row.body.decode("utf-8", "replace") if row.body is not None else None)


class InboxPage(Schema):
    items = fields.List(fields.Nested(InboxRow))
    next_cursor = fields.String(allow_none=True)


class Acted(Schema):
    event_ids = fields.List(fields.String(), metadata={"description": "acted on, or with dry_run to be acted on"})
    matching = fields.Integer(metadata={"description": "unfinished events that match, beyond the limit too"})
    message = fields.String(metadata={"description": "the same in words"})
    dry_run = fields.Boolean()


class AuditArgs(PageArgs):
    event_id = fields.String(load_default=None)


class AuditRow(Schema):
    at = fields.AwareDateTime()
    actor = fields.String(metadata={"description": "the token's name, or cli: and the user's"})
    action = fields.String()
    event_id = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)


class AuditPage(Schema):
    items = fields.List(fields.Nested(AuditRow))
    next_cursor = fields.String(allow_none=True)
