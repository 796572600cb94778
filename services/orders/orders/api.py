"""The success page's route, and the operators'."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from events.database import Database
from events.web import Problem, decode_cursor, encode_cursor, operator_required
from flask_smorest import Blueprint
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import selectinload

from orders.models import Order, OrderSession
from orders.schemas import OrderDetail, OrderPage, PublicOrder, SearchArgs

RETRY_AFTER = 1  # seconds; the order is a relay's round away


def blueprint(database: Database) -> Blueprint:
    """Routes under /orders."""
    routes = Blueprint("orders", __name__, url_prefix="/orders", description="Orders and their states")

    @routes.route("/by-session/<session_id>", methods=["GET"])
    @routes.response(200, PublicOrder)
    def show_to_customer(session_id: str) -> Order:
        with database.read() as session:
            of_session = select(OrderSession.order_id).where(OrderSession.session_id == session_id)
            statement = select(Order).where(Order.id.in_(of_session)).options(selectinload(Order.lines))
            order = session.scalar(statement)
        if order is None:
            detail = "There is no order for this session yet. Right after the checkout, ask again in a second."
            raise Problem(404, "order-not-found", detail, headers={"Retry-After": str(RETRY_AFTER)})
        return order

    @routes.route("", methods=["GET"])
    @operator_required
    @routes.arguments(SearchArgs, location="query")
    @routes.response(200, OrderPage)
    def search(args: dict[str, Any]) -> dict[str, Any]:
        limit = args["limit"]
        statement = select(Order).where(*_conditions(args))
        if args["cursor"]:
            statement = statement.where(tuple_(Order.created_at, Order.id) < _position(args["cursor"]))
        with database.read() as session:
            statement = statement.order_by(Order.created_at.desc(), Order.id.desc()).limit(limit + 1)
            found: Sequence[Order] = session.scalars(statement).all()
        more = len(found) > limit
        cursor = encode_cursor(found[limit - 1].created_at, found[limit - 1].id) if more else None
        return {"items": found[:limit], "next_cursor": cursor}

    @routes.route("/<order_id>", methods=["GET"])
    @operator_required
    @routes.response(200, OrderDetail)
    def show(order_id: str) -> Order:
        parts = (Order.lines, Order.payments, Order.attempts, Order.timeline)
        with database.read() as session:
            order = session.get(Order, order_id, options=[selectinload(part) for part in parts])
        if order is None:
            raise Problem(404, "order-not-found", f"There is no order {order_id}.")
        return order

    return routes


def _conditions(args: dict[str, Any]) -> list[ColumnElement[bool]]:
    conditions = {
        "status": lambda value: Order.status == value,
        "email": lambda value: func.lower(Order.customer_email) == value.lower(),
        "session": lambda value: Order.id.in_(select(OrderSession.order_id).where(OrderSession.session_id == value)),
        "payment_intent": lambda value: Order.payment_intent == value,
        "checkout_id": lambda value: Order.checkout_id == value,
        "needs_review": Order.needs_review.is_,
        "created_from": lambda value: Order.created_at >= value,
        "created_to": lambda value: Order.created_at < value,
    }
    return [condition(args[name]) for name, condition in conditions.items() if name in args]


def _position(cursor: str) -> tuple[datetime, str]:
    try:
        created_at, order_id = decode_cursor(cursor)
        return datetime.fromisoformat(created_at), str(order_id)
    except (ValueError, TypeError) as error:
        raise Problem(422, "invalid-request", "Not a cursor of this list.", errors={"cursor": [str(error)]}) from error
