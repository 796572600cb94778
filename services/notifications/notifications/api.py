"""The operators' routes: list the e-mails with their recipient, time and status, and resend one or many."""

from datetime import datetime
from typing import Any

from events.database.engine import Database
from events.web.auth import operator_required
from events.web.blueprint import Blueprint
from events.web.idempotency import KeyHeader, require_key
from events.web.pagination import decode_cursor, page
from flask import current_app, g
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from notifications import schemas
from notifications.models import Email
from notifications.resending import (
    ResendMany,
    ResendOne,
    count_matching,
    find_matching,
    matches,
    resend,
    resend_many,
)

blueprint = Blueprint("notifications", __name__)


def database() -> Database:
    """Return the service's database."""
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/notifications")
@operator_required
@blueprint.arguments(schemas.SearchArgs, location="query")
@blueprint.response(200, schemas.NotificationPage)
def list_notifications(args: dict[str, Any]) -> dict[str, Any]:
    """List the e-mails that match all filters, newest first."""
    with database().read() as session:
        return page(_search(session, args, args["limit"] + 1), args["limit"], "created_at", "id")


def _search(session: Session, args: dict[str, Any], limit: int) -> list[Email]:
    statement = select(Email).where(*matches(args)).order_by(Email.created_at.desc(), Email.id.desc()).limit(limit)
    if before := decode_cursor(args["cursor"], datetime, str):
        statement = statement.where(tuple_(Email.created_at, Email.id) < before)
    return list(session.scalars(statement))


@blueprint.post("/notifications/<email_id>/resend")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.ResendArgs)
@blueprint.response(201, schemas.Notification)
def resend_notification(headers: dict[str, Any], args: dict[str, Any], email_id: str) -> Email:
    """Queue a copy of an e-mail, to the same or a corrected address.

    A repeat of the Idempotency-Key returns the first copy.
    """
    key = require_key(headers["key"])
    with database().begin() as session:
        return resend(session, ResendOne(email_id, args["recipient"]), g.actor, key)


@blueprint.post("/notifications/resend")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.BulkResendArgs)
@blueprint.response(200, schemas.BulkResend)
def resend_notifications(headers: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
    """Queue copies of the e-mails that match all filters: at most `limit`, the oldest first.

    Only e-mails that are sent, failed or unknown are copied. A repeat of the Idempotency-Key returns the same result.
    A dry run shows which e-mails would be copied, and needs no key.

    E-mails that were resent before are left out, so a request with a new key goes on with the next ones.
    """
    given = {name: args[name] for name in schemas.Filters().fields if name in args}
    filters = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given.items()}
    request = ResendMany(args["limit"], filters)
    if args["dry_run"]:
        with database().read() as session:
            ids = [email.id for email in find_matching(session, request)]
            found = {"notification_ids": ids, "resend_ids": [], "matching": count_matching(session, request)}
    else:
        with database().begin() as session:
            found = resend_many(session, request, g.actor, require_key(headers["key"]))
    return {**found, "dry_run": args["dry_run"]}
