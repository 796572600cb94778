"""The routes: the availability for the shop, the stock for operators, and the reservations for checkout."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from events.clock import utcnow
from events.database.engine import Database
from events.web.auth import operator_required, service_required
from events.web.pagination import PageArgs, decode_cursor, page
from events.web.problems import invalid_request
from flask import current_app, g
from flask_smorest import Blueprint
from marshmallow import RAISE, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from inventory import ledger, reservations, schemas
from inventory.errors import ReservationConflictError, ReservationNotFoundError, UnknownSkuError
from inventory.models import HELD, Movement, Reservation, StockItem

DEADLOCK = "40P01"  # SQLSTATE: PostgreSQL aborted our transaction in favor of another one; ours can be repeated
DEADLOCK_ATTEMPTS = 3  # a second deadlock of the same request is rare

Result = TypeVar("Result")
blueprint = Blueprint("inventory", __name__)


def database() -> Database:
    """Return the service's database."""
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/availability")
@blueprint.arguments(schemas.AvailabilityArgs, location="query", unknown=RAISE)  # a misspelled filter would list all
@blueprint.response(200, schemas.AvailabilityPage)
def list_availability(args: dict[str, Any]) -> dict[str, Any]:
    """List the available pieces of all skus, or of those in the query. Unknown skus are left out."""
    statement = select(StockItem).order_by(StockItem.sku).limit(args["limit"] + 1)
    if args["skus"]:
        statement = statement.where(StockItem.sku.in_(args["skus"]))
    if after := decode_cursor(args["cursor"], str):
        statement = statement.where(StockItem.sku > after[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "sku")


@blueprint.get("/stock")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.StockPage)
def list_stock(args: dict[str, Any]) -> dict[str, Any]:
    """List all stock items by sku."""
    statement = select(StockItem).order_by(StockItem.sku).limit(args["limit"] + 1)
    if after := decode_cursor(args["cursor"], str):
        statement = statement.where(StockItem.sku > after[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "sku")


@blueprint.get("/stock/<sku>")
@operator_required
@blueprint.response(200, schemas.StockItem)
def show_stock(sku: str) -> StockItem:
    """Show the stock of one sku."""
    _check_sku(sku)
    with database().read() as session:
        item = session.get(StockItem, sku)
    if item is None:
        raise UnknownSkuError(sku)
    return item


@blueprint.get("/stock/<sku>/movements")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.MovementPage)
def list_movements(args: dict[str, Any], sku: str) -> dict[str, Any]:
    """List all changes of a sku's stock on hand, newest first."""
    statement = select(Movement).where(Movement.sku == sku).order_by(Movement.id.desc()).limit(args["limit"] + 1)
    if before := decode_cursor(args["cursor"], int):
        statement = statement.where(Movement.id < before[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "id")


@blueprint.post("/stock/<sku>/movements")
@operator_required
@blueprint.arguments(schemas.NewMovement)
@blueprint.response(201, schemas.StockItem)
def add_movement(change: dict[str, Any], sku: str) -> StockItem:
    """Set or adjust the stock on hand; return it. The movement records the reason and the token's name."""
    _check_sku(sku)
    note = {"reason": change["reason"], "actor": g.actor, "occurred_at": utcnow()}
    with database().begin() as session:
        if "on_hand" in change:
            return ledger.set_on_hand(session, sku, change["on_hand"], **note)
        return ledger.adjust_on_hand(session, sku, change["adjust"], **note)


@blueprint.post("/reservations")
@service_required
@blueprint.arguments(schemas.NewReservation)
@blueprint.response(201, schemas.Reservation)
@blueprint.alt_response(200, schema=schemas.Reservation, description="The checkout has already reserved these lines.")
def reserve(wanted: dict[str, Any]) -> tuple[Reservation, int]:
    """Reserve all lines of a checkout until a time, or none."""
    checkout_id, expires_at = wanted["checkout_id"], wanted["expires_at"]
    lines = [(line["sku"], line["quantity"]) for line in wanted["lines"]]
    reservation, is_new = _write(
        lambda session: reservations.reserve(session, checkout_id, expires_at, lines, utcnow())
    )
    return reservation, 201 if is_new else 200


@blueprint.delete("/reservations/<checkout_id>")
@service_required
@blueprint.response(204)
def release(checkout_id: str) -> None:
    """Release a checkout's reservation. Without one, nothing changes."""

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
    """Keep a reservation until a later time. An earlier time changes nothing."""

    def write(session: Session) -> Reservation:
        reservation = reservations.lock_reservation(session, checkout_id)
        if reservation is None:
            raise ReservationNotFoundError(checkout_id)
        reservations.extend(session, reservation, extension["expires_at"])
        return reservation

    reservation = _write(write)
    if reservation.status != HELD:
        raise ReservationConflictError(f"The reservation of {checkout_id} is {reservation.status}.")
    return reservation


def _write(work: Callable[[Session], Result]) -> Result:
    """Run `work` in one write transaction, and again if PostgreSQL aborts it to resolve a deadlock.

    One reservation locks its rows in order. A deadlock is still possible with a worker that locks several at once.
    """
    for attempt in range(1, DEADLOCK_ATTEMPTS + 1):
        try:
            with database().begin() as session:
                return work(session)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK or attempt == DEADLOCK_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _check_sku(sku: str) -> None:
    try:
        schemas.SKU(sku)
    except ValidationError as error:
        raise invalid_request(sku=error.messages) from None
