"""Requests and answers about the inbox, shared by the API and the command line."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from events.messaging.inbox_models import IGNORED, UNFINISHED, InboxStatus
from events.operations.inbox import FILTERS
from events.web.fields import Instant, SearchText, StrictBoolean
from events.web.pagination import PageArgs


class Filters(Schema):
    """The filters of every inbox search."""

    type = SearchText(metadata={"description": "Stripe's type or a routing key"})
    correlation_id = SearchText(metadata={"description": "the checkout id"})
    error = SearchText(
        metadata={"description": "part of the error text; without `status`, ignored events are left out"}
    )
    received_from = Instant()
    received_to = Instant()


class SearchArgs(PageArgs, Filters):
    """The query of a search."""

    status = fields.String(validate=validate.OneOf([*InboxStatus]))


class ReasonArgs(Schema):
    """An optional reason, for the audit."""

    reason = fields.String(load_default=None)


class BulkArgs(Filters):
    """A bulk action: at least one filter, or `all`, not both. A missing filter must not mean everything."""

    status = fields.String(
        validate=validate.OneOf(UNFINISHED, error="Events of status {input} cannot be changed. Use one of: {choices}.")
    )
    all = StrictBoolean(load_default=False, metadata={"description": "all unfinished events, up to `limit`"})
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=1000))
    dry_run = StrictBoolean(load_default=False)
    reason = fields.String(load_default=None)

    @validates_schema
    def _require_a_filter(self, data: dict[str, Any], **_: object) -> None:
        if data["all"] == bool(data.keys() & FILTERS.keys()):
            raise ValidationError("Give a filter, or all: true for all unfinished events, not both.", "all")


class BulkRetryArgs(BulkArgs):
    """A bulk retry, also of events that had no handler."""

    status = fields.String(
        validate=validate.OneOf(
            (*UNFINISHED, IGNORED), error="Events of status {input} cannot be changed. Use one of: {choices}."
        ),
        metadata={"description": "`ignored` retries the events that had no handler, for a week after their receipt"},
    )


class BulkDiscardArgs(BulkArgs):
    """A bulk discard. It needs a reason."""

    reason = fields.String(required=True, validate=validate.Length(min=1))


class InboxRow(Schema):
    """An inbox event in a list."""

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
    """An inbox event with its payload and traceback."""

    headers = fields.Dict(allow_none=True)
    traceback = fields.String(allow_none=True)
    payload = fields.Function(lambda row: row.body.decode("utf-8", "replace") if row.body is not None else None)


class InboxPage(Schema):
    """A page of inbox events."""

    items = fields.List(fields.Nested(InboxRow))
    next_cursor = fields.String(allow_none=True)


class BulkResult(Schema):
    """The events that a bulk retry or discard changed or, with `dry_run`, would change."""

    event_ids = fields.List(
        fields.String(), metadata={"description": "changed events; with dry_run, the events that would be changed"}
    )
    matching = fields.Integer(metadata={"description": "number of matching unfinished events, also beyond the limit"})
    message = fields.String(metadata={"description": "the result as a sentence"})
    dry_run = fields.Boolean()


class AuditArgs(PageArgs):
    """The query of the audit."""

    event_id = fields.String(load_default=None)


class AuditRow(Schema):
    """One action of an operator. `event_id` can be a dead letter's reference, and is null for pause and resume."""

    acted_at = fields.AwareDateTime()
    actor = fields.String(metadata={"description": "the token's name, or cli: and the name of the system user"})
    action = fields.String()
    event_id = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)


class AuditPage(Schema):
    """A page of the audit."""

    items = fields.List(fields.Nested(AuditRow))
    next_cursor = fields.String(allow_none=True)
