"""The routes: availability for the shop, stock for operators, and reservations for checkout and operators."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from events.clock import utcnow
from events.database.engine import Database
from events.database.errors import is_conflict
from events.observability.logging import get_logger
from events.web.auth import operator_required, service_required
from events.web.blueprint import Blueprint
from events.web.idempotency import KeyHeader, require_key_unless
from events.web.pagination import PageArgs, decode_cursor, page
from events.web.problems import invalid_request
from flask import current_app, g
from marshmallow import ValidationError
from sqlalchemy import and_, not_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from inventory import reservations, schemas, stock_changes
from inventory.config import Config
from inventory.errors import NotHeldError, ReservationNotFoundError, UnknownSkuError
from inventory.models import (
    HELD,
    SESSION_PAID,
    SESSION_PENDING,
    Movement,
    Reservation,
    ReservationLine,
    ReservationSession,
    StockItem,
)

CONFLICT_ATTEMPTS = 3  # a second deadlock of the same request is rare

log = get_logger(__name__)
Result = TypeVar("Result")
blueprint = Blueprint("inventory", __name__)


def database() -> Database:
    """Return the service's database."""
    found: Database = current_app.extensions["clozit"]
    return found


def config() -> Config:
    """Return the service's settings."""
    found: Config = current_app.extensions["clozit.config"]
    return found


@blueprint.get("/availability")
@blueprint.arguments(schemas.AvailabilityArgs, location="query")
@blueprint.response(200, schemas.AvailabilityPage)
def list_availability(args: dict[str, Any]) -> dict[str, Any]:
    """List the pieces that a cart can reserve, of all skus or of those in the query. Unknown skus are left out.

    More than 100 pieces are shown as 100.
    """
    statement = select(StockItem).order_by(StockItem.sku).limit(args["limit"] + 1)
    if args["skus"]:
        statement = statement.where(StockItem.sku.in_(args["skus"]))
    if after := decode_cursor(args["cursor"], str):
        statement = statement.where(StockItem.sku > after[0])
    with database().read() as session:
        listed = page(session.scalars(statement).all(), args["limit"], "sku")
    percent = config().max_reserved_percent
    items = [
        {"sku": item.sku, "available": min(item.reservable(percent), schemas.MAX_SHOWN_AVAILABLE)}
        for item in listed["items"]
    ]
    return listed | {"items": items}


@blueprint.get("/stock")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.StockPage)
def list_stock(args: dict[str, Any]) -> dict[str, Any]:
    """List all stock items, sorted by sku."""
    statement = select(StockItem).order_by(StockItem.sku).limit(args["limit"] + 1)
    if after := decode_cursor(args["cursor"], str):
        statement = statement.where(StockItem.sku > after[0])
    with database().read() as session:
        listed = page(session.scalars(statement).all(), args["limit"], "sku")
        return listed | {"items": stock_changes.stock_values(session, listed["items"])}


@blueprint.get("/stock/<sku>")
@operator_required
@blueprint.response(200, schemas.StockItem)
def show_stock(sku: str) -> dict[str, Any]:
    """Show the stock of one sku."""
    _check_sku(sku)
    with database().read() as session:
        item = session.get(StockItem, sku)
        if item is None:
            raise UnknownSkuError(sku)
        return stock_changes.stock_values(session, [item])[0]


@blueprint.get("/stock/<sku>/movements")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.MovementPage)
def list_movements(args: dict[str, Any], sku: str) -> dict[str, Any]:
    """List all changes of a sku's stock on hand, the last recorded one first."""
    statement = select(Movement).where(Movement.sku == sku).order_by(Movement.id.desc()).limit(args["limit"] + 1)
    if before := decode_cursor(args["cursor"], int):
        statement = statement.where(Movement.id < before[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "id")


@blueprint.post("/stock/<sku>/movements")
@operator_required
@blueprint.arguments(KeyHeader, location="headers")
@blueprint.arguments(schemas.NewMovement)
@blueprint.response(201, schemas.StockItem)
def add_movement(headers: dict[str, Any], change: dict[str, Any], sku: str) -> dict[str, Any]:
    """Set the stock on hand to a counted number, or adjust it; return the sku's stock.

    The movement records the reason and the token's name. A repeat with the same Idempotency-Key changes nothing and
    returns the first answer. An `adjust` without `expected` needs a key. A count creates the stock of an unknown sku.
    """
    _check_sku(sku)
    key = require_key_unless("on_hand" in change or "expected" in change, headers["key"])
    if "counted_at" in change:
        change["counted_at"] = change["counted_at"].isoformat()
    request = stock_changes.StockRequest(sku=sku, **change)
    actor = g.actor
    return _write(lambda session: stock_changes.change_stock(session, request, key, actor=actor, now=utcnow()))


@blueprint.get("/reservations")
@operator_required
@blueprint.arguments(schemas.ReservationArgs, location="query")
@blueprint.response(200, schemas.ReservationPage)
def list_reservations(args: dict[str, Any]) -> dict[str, Any]:
    """List the reservations that match all filters, newest checkout first."""
    statement = select(Reservation).order_by(Reservation.checkout_id.desc()).limit(args["limit"] + 1)
    if args["status"]:
        statement = statement.where(Reservation.status == args["status"])
    if args["sku"]:
        statement = statement.where(Reservation.lines.any(ReservationLine.sku == args["sku"]))
    if args["pending"] is not None:
        is_pending = Reservation.sessions.any(ReservationSession.status == SESSION_PENDING)
        is_paid = Reservation.sessions.any(ReservationSession.status == SESSION_PAID)
        condition = and_(is_pending, not_(is_paid))
        statement = statement.where(condition if args["pending"] else not_(condition))
    if args["expires_before"]:
        statement = statement.where(Reservation.expires_at < args["expires_before"])
    if before := decode_cursor(args["cursor"], str):
        statement = statement.where(Reservation.checkout_id < before[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "checkout_id")


@blueprint.post("/reservations/<checkout_id>/release")
@operator_required
@blueprint.arguments(schemas.ReservationRelease)
@blueprint.response(200, schemas.ReservationEntry)
def release_for_operator(release: dict[str, Any], checkout_id: str) -> Reservation:
    """Release a checkout's pieces for good. If the customer pays after others bought them, the order is oversold.

    409 if the pieces are paid for or, without `override`, if a delayed payment is under way. A repeat changes nothing.
    """

    def write(session: Session) -> Reservation:
        reservation = reservations.lock_reservation(session, checkout_id)
        if reservation is None:
            raise ReservationNotFoundError(checkout_id)
        reservations.release_for_operator(session, reservation, utcnow(), is_forced=release["override"])
        return reservation

    reservation = _write(write)
    log.info("reservation released", checkout_id=checkout_id, actor=g.actor, reason=release["reason"])
    return reservation


@blueprint.post("/reservations")
@service_required
@blueprint.arguments(schemas.NewReservation)
@blueprint.response(201, schemas.Reservation)
@blueprint.alt_response(200, schema=schemas.Reservation, description="The checkout has already reserved these lines.")
def reserve(wanted: dict[str, Any]) -> tuple[Reservation, int]:
    """Reserve all lines of a checkout until `expires_at`, or none.

    A repeat can only make the time later. 409 if pieces are not available, or if the checkout's reservation has other
    lines or is no longer held.
    """
    checkout_id, expires_at = wanted["checkout_id"], wanted["expires_at"]
    lines = [(line["sku"], line["quantity"]) for line in wanted["lines"]]
    reservation, is_new = _write(
        lambda session: reservations.reserve(
            session, checkout_id, expires_at, lines, utcnow(), max_percent=config().max_reserved_percent
        )
    )
    return reservation, 201 if is_new else 200


@blueprint.delete("/reservations/<checkout_id>")
@service_required
@blueprint.response(204)
def release(checkout_id: str) -> None:
    """Release a checkout's reservation. Without one, nothing changes.

    409 if its pieces are paid for, or if a delayed payment is under way.
    """

    def write(session: Session) -> None:
        reservation = reservations.lock_reservation(session, checkout_id)
        if reservation is not None:
            reservations.release(session, reservation)

    _write(write)


@blueprint.patch("/reservations/<checkout_id>")
@service_required
@blueprint.arguments(schemas.ReservationExtension)
@blueprint.response(200, schemas.Reservation)
def extend(extension: dict[str, datetime], checkout_id: str) -> Reservation:
    """Keep a reservation until a later time. An earlier time does not shorten it.

    An expired reservation is held again if MAX_RESERVED_PERCENT leaves room for all its pieces. So is a released one
    while a payment is under way. What an operator released stays released. 409 if the pieces are then not held; 404
    without a reservation.
    """

    def write(session: Session) -> Reservation:
        reservation = reservations.lock_reservation(session, checkout_id)
        if reservation is None:
            raise ReservationNotFoundError(checkout_id)
        reservations.extend(session, reservation, extension["expires_at"], max_percent=config().max_reserved_percent)
        return reservation

    reservation = _write(write)
    if reservation.status != HELD:
        raise NotHeldError(checkout_id, reservation.status)
    return reservation


def _write(work: Callable[[Session], Result]) -> Result:
    """Run `work` in one write transaction, and again if PostgreSQL aborts it to resolve a deadlock.

    Requests and workers lock skus in one order, so a deadlock is not expected.
    """
    for attempt in range(1, CONFLICT_ATTEMPTS + 1):
        try:
            with database().begin() as session:
                return work(session)
        except OperationalError as error:
            if not is_conflict(error) or attempt == CONFLICT_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _check_sku(sku: str) -> None:
    try:
        schemas.SKU(sku)
    except ValidationError as error:
        raise invalid_request(sku=error.messages) from None
