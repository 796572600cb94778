"""The operators' routes of every service with an inbox: search, show, retry, discard, pause, resume, audit."""

from datetime import datetime
from typing import Any

from flask import g
from flask.views import MethodView

from events.database.engine import Database
from events.messaging.inbox_models import InboxEvent
from events.operations import inbox as operations
from events.operations.inbox import DISCARD, FILTERS, RETRY
from events.operations.inbox_schemas import (
    AuditArgs,
    AuditPage,
    BulkDiscardArgs,
    BulkResult,
    BulkRetryArgs,
    InboxDetail,
    InboxPage,
    ReasonArgs,
    SearchArgs,
)
from events.web.auth import operator_required
from events.web.blueprint import Blueprint
from events.web.pagination import decode_cursor, page
from events.web.problems import Problem


def inbox_blueprint(database: Database) -> Blueprint:  # noqa: C901 - one route after the other
    """Return the routes under /ops. Every action is audited with the token's name."""
    blueprint = Blueprint("ops", __name__, url_prefix="/ops", description="The inbox, for operators")

    @blueprint.route("/inbox")
    class Inbox(MethodView):
        @operator_required
        @blueprint.arguments(SearchArgs, location="query")
        @blueprint.response(200, InboxPage)
        def get(self, args: dict[str, Any]) -> dict[str, Any]:
            limit, after = args["limit"], decode_cursor(args["cursor"], datetime, str)
            with database.read() as session:
                rows = operations.search(session, _filters(args), limit=limit + 1, after=after)
            return page(rows, limit, "received_at", "event_id")

    @blueprint.route("/inbox/audit", methods=["GET"])
    @operator_required
    @blueprint.arguments(AuditArgs, location="query")
    @blueprint.response(200, AuditPage)
    def audit(args: dict[str, Any]) -> dict[str, Any]:
        limit = args["limit"]
        (before,) = decode_cursor(args["cursor"], int) or (None,)
        with database.read() as session:
            rows = operations.audit_trail(session, limit=limit + 1, event_id=args["event_id"], before=before)
        return page(rows, limit, "id")

    def act_on_all(action: str, args: dict[str, Any]) -> dict[str, Any]:
        filters, limit = _filters(args), args["limit"]
        with database.read() as session:
            matching = operations.count_unfinished(session, filters)
            event_ids = [row.event_id for row in operations.unfinished(session, filters, limit=limit)]
        if not args["dry_run"]:
            by = {"actor": g.actor, "reason": args["reason"]}
            chunks = operations.apply_action_to_all(database, action, filters, limit=limit, **by)
            event_ids = [event_id for chunk in chunks for event_id in chunk]
        done = "due now" if action == RETRY else "discarded"
        result = f"Would be {done}" if args["dry_run"] else done.capitalize()
        message = (
            f"{result}: {len(event_ids)} of {matching} matching events."
            if matching
            else "No matching event can be changed."
        )
        return {"event_ids": event_ids, "matching": matching, "message": message, "dry_run": args["dry_run"]}

    @blueprint.route("/inbox/retry", methods=["POST"])
    @operator_required
    @blueprint.arguments(BulkRetryArgs)
    @blueprint.response(200, BulkResult)
    def retry_many(args: dict[str, Any]) -> dict[str, Any]:
        return act_on_all(RETRY, args)

    @blueprint.route("/inbox/discard", methods=["POST"])
    @operator_required
    @blueprint.arguments(BulkDiscardArgs)
    @blueprint.response(200, BulkResult)
    def discard_many(args: dict[str, Any]) -> dict[str, Any]:
        return act_on_all(DISCARD, args)

    @blueprint.route("/inbox/<event_id>", methods=["GET"])
    @operator_required
    @blueprint.response(200, InboxDetail)
    def show(event_id: str) -> InboxEvent:
        with database.read() as session:
            return _found(session.get(InboxEvent, event_id), event_id)

    def act(action: str, event_id: str, reason: str | None) -> InboxEvent:
        with database.begin() as session:
            row = _found(session.get(InboxEvent, event_id), event_id)
            if not operations.apply_action(session, action, [event_id], actor=g.actor, reason=reason):
                raise Problem(
                    409,
                    "event-finished",
                    f"{event_id} is {row.status}. Unfinished events can be retried or discarded."
                    " Events without a handler can be retried while their payload is kept.",
                )
            session.refresh(row)
            return row

    @blueprint.route("/inbox/<event_id>/retry", methods=["POST"])
    @operator_required
    @blueprint.arguments(ReasonArgs)
    @blueprint.response(200, InboxDetail)
    def retry_one(args: dict[str, Any], event_id: str) -> InboxEvent:
        return act(RETRY, event_id, args["reason"])

    @blueprint.route("/inbox/<event_id>/discard", methods=["POST"])
    @operator_required
    @blueprint.arguments(ReasonArgs)
    @blueprint.response(200, InboxDetail)
    def discard_one(args: dict[str, Any], event_id: str) -> InboxEvent:
        return act(DISCARD, event_id, args["reason"])

    def switch(paused: bool, reason: str | None) -> dict[str, bool]:
        with database.begin() as session:
            operations.set_paused(session, paused, actor=g.actor, reason=reason)
        return {"paused": paused}

    @blueprint.route("/pause", methods=["POST"])
    @operator_required
    @blueprint.arguments(ReasonArgs)
    @blueprint.response(200)
    def pause(args: dict[str, Any]) -> dict[str, bool]:
        return switch(True, args["reason"])

    @blueprint.route("/resume", methods=["POST"])
    @operator_required
    @blueprint.arguments(ReasonArgs)
    @blueprint.response(200)
    def resume(args: dict[str, Any]) -> dict[str, bool]:
        return switch(False, args["reason"])

    return blueprint


def _filters(args: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in args.items() if name in FILTERS}


def _found(row: InboxEvent | None, event_id: str) -> InboxEvent:
    if row is None:
        raise Problem(
            404,
            "event-not-found",
            f"{event_id} is not in this inbox. It never arrived, or it was deleted after 35 days.",
        )
    return row
