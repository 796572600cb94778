"""What the success page asks, and what operators see and do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.database.engine import Database
from events.web.auth import operator_required
from events.web.idempotency import KeyHeader, require_key
from events.web.pagination import decode_cursor, encode_cursor, page
from events.web.problems import Problem
from flask import current_app, g
from flask_smorest import Blueprint

from orders import reviews, schemas, search, shipments
from orders.intentions import RefundWish
from orders.models import Order, RefundIntention, Shipment
from orders.problems import order_not_found
from orders.refunding import Refunding, locked_order, refused
from orders.shipments import Parcel

SOON = {"Retry-After": "1"}  # seconds; the customer may be back before the checkout's announcement is here

blueprint = Blueprint("orders", __name__)


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    database: Database
    refunding: Refunding


def parts() -> Parts:
    found: Parts = current_app.extensions["clozit"]
    return found


@blueprint.get("/orders/by-session/<session_id>")
@blueprint.response(200, schemas.PublicOrder, headers={"Cache-Control": {"schema": {"type": "string"}}})
def show_to_customer(session_id: str) -> tuple[Order, int, dict[str, str]]:
    """How the order of a Stripe session stands, for the page that the customer returns to."""
    with parts().database.read() as session:
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
    with parts().database.read() as session:
        (before,) = decode_cursor(cursor, str) or (None,)
        return page(search.search(session, args, before=before, limit=limit + 1), limit, "id")


@blueprint.get("/orders/<order_id>")
@operator_required
@blueprint.response(200, schemas.WholeOrder)
def show_order(order_id: str) -> Order:
    """One order with all that is known of it, and its timeline."""
    with parts().database.read() as session:
        order = search.whole(session, order_id)
    if order is None:
        raise order_not_found(order_id)
    return order


@blueprint.post("/orders/<order_id>/refunds")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.NewRefund)
@blueprint.response(201, schemas.IntentionItem)
@blueprint.alt_response(202, schema=schemas.IntentionItem, description="Stripe has not answered; it is asked again.")
def refund_order(headers: dict[str, Any], wish: RefundWish, order_id: str) -> tuple[RefundIntention, int]:
    """Give money back, once per Idempotency-Key: all that is left, an amount, or lines."""
    intention = parts().refunding.request(order_id, wish, require_key(headers["key"]), g.actor)
    if intention.is_refused:
        raise refused(intention)
    return intention, 202 if intention.is_asked else 201


@blueprint.post("/orders/<order_id>/review")
@operator_required
@blueprint.arguments(schemas.Decision)
@blueprint.response(200, schemas.WholeOrder)
def settle_review(decision: dict[str, Any], order_id: str) -> Order | None:
    """Decide about what does not fit: ship it (accept), give the money back (refund), or neither (cancel)."""
    with parts().database.begin() as session:
        order = locked_order(session, order_id)
        intentions = reviews.settle(session, order, decision["decision"], g.actor, decision["note"])
    for intention in intentions:
        parts().refunding.ask(intention)
    with parts().database.read() as session:
        return search.whole(session, order_id)


@blueprint.post("/orders/<order_id>/shipments")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.NewShipment)
@blueprint.response(201, schemas.ShipmentItem)
def ship_order(headers: dict[str, Any], parcel: Parcel, order_id: str) -> Shipment:
    """A parcel with some or all that is left is on its way; the customer is told."""
    with parts().database.begin() as session:
        return shipments.ship(session, locked_order(session, order_id), parcel, headers["key"], g.actor)


@blueprint.get("/disputes")
@operator_required
@blueprint.arguments(schemas.DisputeArgs, location="query")
@blueprint.response(200, schemas.DisputePage)
def list_disputes(args: dict[str, Any]) -> dict[str, Any]:
    """Disputes and inquiries, those whose evidence is due first; the open ones unless asked otherwise."""
    after = decode_cursor(args["cursor"], datetime, str)
    with parts().database.read() as session:
        found = search.disputes(session, open_only=args["open"], after=after, limit=args["limit"] + 1)
    shown = found[: args["limit"]]
    next_cursor = encode_cursor(*search.dispute_key(shown[-1][0])) if len(found) > len(shown) else None
    return {"items": [schemas.listed(*one) for one in shown], "next_cursor": next_cursor}
