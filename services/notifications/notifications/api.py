"""The operators' routes: what was sent to whom, when and why; and once more."""

from typing import Any

from events.database.engine import Database
from events.web.auth import operator_required
from events.web.pagination import decode_cursor, page
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
    with database().read() as session:
        return page(search(session, args, args["limit"] + 1), args["limit"], "id")


def search(session: Session, args: dict[str, Any], limit: int) -> list[Email]:
    """Ids sort by the time they were made."""
    statement = select(Email).order_by(Email.id.desc()).limit(limit)
    for name in ("status", "kind", "checkout_id", "recipient", "digest_id"):
        if name in args:
            statement = statement.where(getattr(Email, name) == args[name])
    if before := decode_cursor(args["cursor"], str):
        statement = statement.where(Email.id < before[0])
    return list(session.scalars(statement))


@blueprint.post("/notifications/<email_id>/resend")
@operator_required
@blueprint.response(201, schemas.Notification)
def resend_notification(email_id: str) -> Email:
    """The same mail again, as a notification of its own."""
    with database().begin() as session:
        return resend(session, email_id, g.actor)
