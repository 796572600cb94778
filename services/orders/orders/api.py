"""What the success page asks, and the operators' view of the orders."""

from typing import Any

from events.database import Database
from events.web import Problem, decode_cursor, encode_cursor, operator_required
from flask import current_app
from flask_smorest import Blueprint

from orders import schemas, search
from orders.models import Order

SOON = {"Retry-After": "1"}  # seconds; the customer may be back before the checkout's announcement is here

blueprint = Blueprint("orders", __name__)


def database() -> Database:
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/orders/by-session/<session_id>")
@blueprint.response(200, schemas.PublicOrder, headers={"Cache-Control": {"schema": {"type": "string"}}})
def show_to_customer(session_id: str) -> tuple[Order, int, dict[str, str]]:
    """How the order of a Stripe session stands, for the page that the customer returns to."""
    with database().read() as session:
        order = search.by_session(session, session_id)
    if order is None:
        raise Problem(404, "order-not-found", "There is no order of this session yet. Ask again.", headers=SOON)
    return order, 200, {"Cache-Control": "no-store"}


@blueprint.get("/orders")
@operator_required
@blueprint.arguments(schemas.SearchArgs, location="query")
@blueprint.response(200, schemas.OrderPage)
def list_orders(args: dict[str, Any]) -> dict[str, Any]:
    """The orders that pass every filter, newest first."""
    cursor, limit = args.pop("cursor"), args.pop("limit")
    with database().read() as session:
        found = search.search(session, args, before=_before(cursor), limit=limit + 1)
    page = found[:limit]
    return {"items": page, "next_cursor": encode_cursor(page[-1].id) if len(found) > limit else None}


@blueprint.get("/orders/<order_id>")
@operator_required
@blueprint.response(200, schemas.WholeOrder)
def show_order(order_id: str) -> Order:
    """One order with its lines, sessions, payments, failed attempts and timeline."""
    with database().read() as session:
        order = search.whole(session, order_id)
    if order is None:
        raise Problem(404, "order-not-found", f"There is no order {order_id}.")
    return order


def _before(cursor: str | None) -> str | None:
    return "".join(map(str, decode_cursor(cursor))) if cursor else None
