"""The operators' routes: what was sent to whom, when and why; and once more."""

from typing import Any

from events.database.engine import Database
from events.web.auth import operator_required
from events.web.pagination import decode_cursor, encode_cursor
from flask import current_app, g
from flask_smorest import Blueprint
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications import schemas
from notifications.models import Email
from notifications.resending import resend

blueprint = Blueprint("notifications", __name__)


def database() -> Database:
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/notifications")
@operator_required
@blueprint.arguments(schemas.SearchArgs, location="query")
@blueprint.response(200, schemas.NotificationPage)
def list_notifications(args: dict[str, Any]) -> dict[str, Any]:
    """Newest first."""
    limit = args["limit"]
    with database().read() as session:
        found = search(session, args, limit + 1)
    more = len(found) > limit
    return {"items": found[:limit], "next_cursor": encode_cursor(found[limit - 1].id) if more else None}


def search(session: Session, args: dict[str, Any], limit: int) -> list[Email]:
    """Ids sort by the time they were made."""
    statement = select(Email).order_by(Email.id.desc()).limit(limit)
    for name in ("status", "kind", "checkout_id", "recipient", "digest_id"):
        if name in args:
            statement = statement.where(getattr(Email, name) == args[name])
    if args["cursor"]:
        statement = statement.where(Email.id < str(decode_cursor(args["cursor"])[0]))
    return list(session.scalars(statement))


@blueprint.post("/notifications/<email_id>/resend")
@operator_required
@blueprint.response(201, schemas.Notification)
def resend_notification(email_id: str) -> Email:
    """The same mail again, as a notification of its own."""
    with database().begin() as session:
        return resend(session, email_id, g.actor)
