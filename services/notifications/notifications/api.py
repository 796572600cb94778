"""The operators' routes: list the mails with their recipient, time and status, and resend one."""

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
    """Return the service's database."""
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/notifications")
@operator_required
@blueprint.arguments(schemas.SearchArgs, location="query")
@blueprint.response(200, schemas.NotificationPage)
def list_notifications(args: dict[str, Any]) -> dict[str, Any]:
    """List the mails that match all filters, newest first."""
    with database().read() as session:
        return page(_search(session, args, args["limit"] + 1), args["limit"], "id")


def _search(session: Session, args: dict[str, Any], limit: int) -> list[Email]:
    statement = select(Email).order_by(Email.id.desc()).limit(limit)  # ids sort by their time
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
    """Send a mail again, as a new notification."""
    with database().begin() as session:
        return resend(session, email_id, g.actor)
