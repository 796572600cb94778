"""The routes: the order for the success page, and everything for operators.

`<order_id>` in a path is an order's id (`ord_…`) or its number (`CL-…`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.database.engine import Database
from events.messaging.contracts.reviews import ReviewDecision
from events.web.auth import operator_required
from events.web.blueprint import Blueprint
from events.web.idempotency import KeyHeader, require_key, require_key_unless
from events.web.pagination import decode_cursor, encode_cursor, page
from flask import current_app, g

from orders import cancellation, problems, reviews, search, shipments
from orders.cancellation import CancelParams
from orders.errors import OrderNotFoundError
from orders.models.orders import Order
from orders.models.refunds import RefundRequest
from orders.models.shipments import Shipment
from orders.refunds.processor import RefundProcessor
from orders.refunds.requests import RefundParams
from orders.repository import lock_order
from orders.schemas.cancellations import NewCancellation
from orders.schemas.disputes import DisputeArgs, DisputePage, dispute_row
from orders.schemas.orders import OrderDetail, OrderPage, SearchArgs
from orders.schemas.public_orders import PublicOrder, public_order
from orders.schemas.refunds import NewRefund, RefundRequestItem
from orders.schemas.reviews import ReviewResolution
from orders.schemas.shipments import NewShipment, ShipmentItem
from orders.shipments import ShipmentParams

SESSION_ID = re.compile(r"cs_\w{1,252}", re.ASCII)  # Stripe's ids of Checkout Sessions

blueprint = Blueprint("orders", __name__)


@dataclass(frozen=True)
class Dependencies:
    """The objects that the routes use, made once for each application."""

    database: Database
    refunds: RefundProcessor


def dependencies() -> Dependencies:
    """Return the current application's dependencies."""
    found: Dependencies = current_app.extensions["clozit"]
    return found


@blueprint.get("/orders/by-session/<session_id>")
@blueprint.response(200, PublicOrder, headers={"Cache-Control": {"schema": {"type": "string"}}})
def show_to_customer(session_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return the order of a Stripe session, for the success page."""
    if not SESSION_ID.fullmatch(session_id):
        raise problems.not_a_session(session_id)
    with dependencies().database.read() as session:
        if (order := search.find_by_session(session, session_id)) is None:
            raise problems.no_order_yet()
        return public_order(order), 200, {"Cache-Control": "no-store"}


@blueprint.get("/orders")
@operator_required
@blueprint.arguments(SearchArgs, location="query")
@blueprint.response(200, OrderPage)
def list_orders(args: dict[str, Any]) -> dict[str, Any]:
    """Return the orders that match all filters, newest first."""
    cursor, limit = args.pop("cursor"), args.pop("limit")
    with dependencies().database.read() as session:
        before = decode_cursor(cursor, datetime, str)
        return page(search.search(session, args, before=before, limit=limit + 1), limit, "created_at", "id")


@blueprint.get("/orders/<order_id>")
@operator_required
@blueprint.response(200, OrderDetail)
def show_order(order_id: str) -> Order:
    """Return one order with everything that belongs to it, by its id or its number (CL-…)."""
    with dependencies().database.read() as session:
        order = search.find_with_details(session, order_id)
    if order is None:
        raise OrderNotFoundError(order_id)
    return order


@blueprint.post("/orders/<order_id>/refunds")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(NewRefund)
@blueprint.response(201, RefundRequestItem)
@blueprint.alt_response(
    202, schema=RefundRequestItem, description="Stripe has not answered yet. The worker asks again."
)
def refund_order(headers: dict[str, Any], params: RefundParams, order_id: str) -> tuple[RefundRequest, int]:
    """Refund an amount, lines, or all that is left of a payment: exactly one of these, once per Idempotency-Key."""
    request = dependencies().refunds.request_refund(order_id, params, require_key(headers["key"]), g.actor)
    if request.is_refused:
        raise problems.refund_refused(request)
    return request, 202 if request.is_unanswered else 201


@blueprint.post("/orders/<order_id>/review")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(ReviewResolution)
@blueprint.response(200, OrderDetail)
def resolve_review(headers: dict[str, Any], resolution: dict[str, Any], order_id: str) -> Order | None:
    """Resolve all open reviews of the order: it can ship (`accept`), is refunded (`refund`), or neither (`cancel`).

    If all open reviews are about duplicate payments, `refund` refunds only these payments, and the order can ship.

    An Idempotency-Key is required, so that a repeated request does not resolve a review that was opened since then.
    """
    key, decision = require_key(headers["key"]), ReviewDecision(resolution["decision"])
    with dependencies().database.begin() as session:
        order = lock_order(session, order_id)
        requests = reviews.resolve(session, order, decision, g.actor, resolution["note"], key=key)
    return _send_and_show(requests, order_id)


@blueprint.post("/orders/<order_id>/cancel")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(NewCancellation)
@blueprint.response(200, OrderDetail)
def cancel_order(headers: dict[str, Any], params: CancelParams, order_id: str) -> Order | None:
    """Cancel a paid order before it ships. The customer gets an e-mail.

    The pieces return to the stock, unless `restock` is false. The payments are refunded if `refund` is true.
    """
    with dependencies().database.begin() as session:
        order = lock_order(session, order_id)
        requests = cancellation.cancel(session, order, params, headers["key"], g.actor)
    return _send_and_show(requests, order_id)


@blueprint.post("/orders/<order_id>/shipments")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(NewShipment)
@blueprint.response(201, ShipmentItem)
def ship_order(headers: dict[str, Any], params: ShipmentParams, order_id: str) -> Shipment:
    """Record a parcel with the given lines, or with all pieces that are owed. The customer gets an e-mail.

    Lines need an Idempotency-Key. With `all` it is optional: a repeat without a key finds nothing to ship.
    """
    key = require_key_unless(params.all, headers["key"])
    with dependencies().database.begin() as session:
        return shipments.ship(session, lock_order(session, order_id), params, key, g.actor)


@blueprint.get("/disputes")
@operator_required
@blueprint.arguments(DisputeArgs, location="query")
@blueprint.response(200, DisputePage)
def list_disputes(args: dict[str, Any]) -> dict[str, Any]:
    """Return disputes and inquiries, earliest deadline for evidence first: only open ones, unless `open` is false."""
    after = decode_cursor(args["cursor"], datetime, str)
    with dependencies().database.read() as session:
        found = search.list_disputes(session, open_only=args["open"], after=after, limit=args["limit"] + 1)
    shown = found[: args["limit"]]
    next_cursor = encode_cursor(*search.dispute_sort_key(shown[-1][0])) if len(found) > len(shown) else None
    return {"items": [dispute_row(*found) for found in shown], "next_cursor": next_cursor}


def _send_and_show(requests: Sequence[RefundRequest], order_id: str) -> Order | None:
    """Send refund requests to Stripe and return the order with its details. Raises a problem if Stripe refuses one.

    Requests whose call does not begin within `SENDING_BUDGET_S` stay `requested`: the worker sends them.
    """
    answers = dependencies().refunds.send_decided(requests)
    if refused := [request for request in answers if request.is_refused]:
        raise problems.review_refund_refused(refused)
    with dependencies().database.read() as session:
        return search.find_with_details(session, order_id)
