"""The operators' routes of every service with an inbox: search, look, retry, discard, pause."""

from datetime import datetime
from typing import Any

from flask import g
from flask.views import MethodView
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from events import inbox, operations
from events.database import Database
from events.inbox import InboxEvent
from events.web import PageArgs, Problem, decode_cursor, encode_cursor, operator_required


class Filters(Schema):
    status = fields.String(validate=validate.OneOf(inbox.STATUSES))
    type = fields.String(metadata={"description": "Stripe's type or a routing key"})
    correlation_id = fields.String(metadata={"description": "the checkout id"})
    error = fields.String(metadata={"description": "text in the error"})
    received_from = fields.AwareDateTime()
    received_to = fields.AwareDateTime()


class SearchArgs(PageArgs, Filters):
    """Filters and paging."""


class BulkArgs(Filters):
    limit = fields.Integer(load_default=100, validate=validate.Range(min=1, max=1000))
    dry_run = fields.Boolean(load_default=False)
    reason = fields.String(load_default=None)


class ActArgs(Schema):
    reason = fields.String(load_default=None)


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
    event_ids = fields.List(fields.String())
    dry_run = fields.Boolean()


def inbox_blueprint(database: Database) -> Blueprint:  # noqa: C901 - one route after the other
    """Routes under /ops, for operators; every act is audited with the token's name."""
    blueprint = Blueprint("ops", __name__, url_prefix="/ops", description="The inbox, for operators")

    @blueprint.route("/inbox")
    class Inbox(MethodView):
        @operator_required
        @blueprint.arguments(SearchArgs, location="query")
        @blueprint.response(200, InboxPage)
        def get(self, args: dict[str, Any]) -> dict[str, Any]:
            limit = args["limit"]
            with database.read() as session:
                rows = operations.search(session, args, limit=limit + 1, after=_after(args["cursor"]))
            more = len(rows) > limit
            last = rows[limit - 1] if more else None
            cursor = encode_cursor(last.received_at, last.event_id) if last else None
            return {"items": rows[:limit], "next_cursor": cursor}

    @blueprint.route("/inbox/retry", methods=["POST"])
    @operator_required
    @blueprint.arguments(BulkArgs)
    @blueprint.response(200, Acted)
    def retry_many(args: dict[str, Any]) -> dict[str, Any]:
        filters = {"status": inbox.FAILED, **args}
        with database.begin() as session:
            event_ids = [row.event_id for row in operations.search(session, filters, limit=args["limit"])]
            if not args["dry_run"]:
                event_ids = operations.retry(session, event_ids, actor=g.actor, reason=args["reason"])
        return {"event_ids": event_ids, "dry_run": args["dry_run"]}

    @blueprint.route("/inbox/<event_id>", methods=["GET"])
    @operator_required
    @blueprint.response(200, InboxDetail)
    def show(event_id: str) -> InboxEvent:
        with database.read() as session:
            return _found(session.get(InboxEvent, event_id), event_id)

    def act(action: Any, event_id: str, reason: str | None) -> InboxEvent:
        with database.begin() as session:
            row = _found(session.get(InboxEvent, event_id), event_id)
            if not action(session, [event_id], actor=g.actor, reason=reason):
                raise Problem(409, "event-finished", f"{event_id} is {row.status}: there is nothing left to do.")
            session.refresh(row)
            return row

    @blueprint.route("/inbox/<event_id>/retry", methods=["POST"])
    @operator_required
    @blueprint.arguments(ActArgs)
    @blueprint.response(200, InboxDetail)
    def retry_one(args: dict[str, Any], event_id: str) -> InboxEvent:
        return act(operations.retry, event_id, args["reason"])

    @blueprint.route("/inbox/<event_id>/discard", methods=["POST"])
    @operator_required
    @blueprint.arguments(ActArgs)
    @blueprint.response(200, InboxDetail)
    def discard_one(args: dict[str, Any], event_id: str) -> InboxEvent:
        return act(operations.discard, event_id, args["reason"])

    def switch(paused: bool, reason: str | None) -> dict[str, bool]:
        with database.begin() as session:
            operations.pause(session, paused, actor=g.actor, reason=reason)
        return {"paused": paused}

    @blueprint.route("/pause", methods=["POST"])
    @operator_required
    @blueprint.arguments(ActArgs)
    @blueprint.response(200)
    def pause(args: dict[str, Any]) -> dict[str, bool]:
        return switch(True, args["reason"])

    @blueprint.route("/resume", methods=["POST"])
    @operator_required
    @blueprint.arguments(ActArgs)
    @blueprint.response(200)
    def resume(args: dict[str, Any]) -> dict[str, bool]:
        return switch(False, args["reason"])

    return blueprint


def _found(row: InboxEvent | None, event_id: str) -> InboxEvent:
    if row is None:
        raise Problem(404, "event-not-found", f"This service has not seen {event_id}.")
    return row


def _after(cursor: str | None) -> tuple[Any, ...] | None:
    if cursor is None:
        return None
    try:
        received_at, event_id = decode_cursor(cursor)
        at = datetime.fromisoformat(received_at)
    except (ValueError, TypeError) as error:
        raise _not_ours(str(error)) from error
    if at.tzinfo is None:
        raise _not_ours("The time bears no zone.")
    return at, str(event_id)


def _not_ours(why: str) -> Problem:
    return Problem(422, "invalid-request", "Not a cursor of this list.", errors={"cursor": [why]})
