"""The shop's and the operators' view of the stock, and the reservations of the checkout service."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from events.clock import utcnow
from events.database.engine import Database
from events.web.auth import operator_required, service_required
from events.web.pagination import PageArgs, decode_cursor, page
from events.web.problems import Problem, invalid_request
from flask import current_app, g
from flask_smorest import Blueprint
from marshmallow import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from inventory import ledger, reservations, schemas
from inventory.models import HELD, Movement, Reservation, Stock

DEADLOCK = "40P01"  # SQLSTATE: PostgreSQL undid our transaction to let another one pass; ours may simply begin again
DEADLOCK_TRIES = 3

T = TypeVar("T")
blueprint = Blueprint("inventory", __name__)


def database() -> Database:
    found: Database = current_app.extensions["clozit"]
    return found


@blueprint.get("/stock")
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.StockPage)
def list_stock(args: dict[str, Any]) -> dict[str, Any]:
    """Every sku with what is on hand, reserved and available."""
    statement = select(Stock).order_by(Stock.sku).limit(args["limit"] + 1)
    if after := decode_cursor(args["cursor"], str):
        statement = statement.where(Stock.sku > after[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "sku")


@blueprint.get("/stock/<sku>")
@blueprint.response(200, schemas.StockItem)
def show_stock(sku: str) -> Stock:
    with database().read() as session:
        return session.get(Stock, _valid_sku(sku)) or _unknown_sku(sku)


@blueprint.put("/stock/<sku>")
@operator_required
@blueprint.arguments(schemas.StockChange)
@blueprint.response(200, schemas.StockItem)
def change_stock(change: dict[str, Any], sku: str) -> Stock:
    """Set what was counted, or adjust by what came in or was lost; the movement keeps why, and the token's name."""
    note = {"reason": change["reason"], "actor": g.actor, "at": utcnow()}
    _valid_sku(sku)
    try:
        with database().begin() as session:
            if "on_hand" in change:
                return ledger.set_on_hand(session, sku, change["on_hand"], **note)
            return ledger.adjust(session, sku, change["adjust"], **note)
    except ledger.UnknownSku:
        _unknown_sku(sku)
    except ledger.BelowReserved as short:
        raise Problem(
            409,
            "below-reserved",
            "That would leave less than open checkouts have been promised. Release them first, or keep that many.",
            reserved=short.reserved,
            on_hand=short.on_hand,
        ) from None


@blueprint.get("/stock/<sku>/movements")
@operator_required
@blueprint.arguments(PageArgs, location="query")
@blueprint.response(200, schemas.MovementPage)
def list_movements(args: dict[str, Any], sku: str) -> dict[str, Any]:
    """Why there are that many: every change of what is on hand, newest first."""
    statement = select(Movement).where(Movement.sku == sku).order_by(Movement.id.desc()).limit(args["limit"] + 1)
    if before := decode_cursor(args["cursor"], int):
        statement = statement.where(Movement.id < before[0])
    with database().read() as session:
        return page(session.scalars(statement).all(), args["limit"], "id")


@blueprint.post("/reservations")
@service_required
@blueprint.arguments(schemas.NewReservation)
@blueprint.response(201, schemas.ReservationState)
@blueprint.alt_response(200, schema=schemas.ReservationState, description="This checkout holds the same lines already.")
def reserve(wanted: dict[str, Any]) -> tuple[Reservation, int]:
    """Hold all lines for a checkout until a time, or none."""
    lines = [(line["sku"], line["quantity"]) for line in wanted["lines"]]
    try:
        reservation, made = _transaction(
            lambda session: reservations.reserve(session, wanted["checkout_id"], wanted["expires_at"], lines, utcnow())
        )
    except reservations.OutOfStock as short:
        raise Problem(
            409, "out-of-stock", "Some lines ask for more than is available. Nothing was reserved.", lines=short.lines
        ) from None
    except reservations.Conflict as conflict:
        raise Problem(409, "reservation-conflict", f"{conflict} Use a new checkout id.") from None
    return reservation, 201 if made else 200


@blueprint.delete("/reservations/<checkout_id>")
@service_required
@blueprint.response(204)
def release(checkout_id: str) -> None:
    """Give the pieces back; also when there are none to give back."""

    def give_back(session: Session) -> None:
        reservation = reservations.find(session, checkout_id)
        if reservation is not None:
            reservations.release(session, reservation)

    try:
        _transaction(give_back)
    except reservations.Sold:
        raise Problem(409, "reservation-committed", "These pieces are paid for. Refund the order instead.") from None


@blueprint.patch("/reservations/<checkout_id>")
@service_required
@blueprint.arguments(schemas.ReservationExtension)
@blueprint.response(200, schemas.ReservationState)
def extend(extension: dict[str, datetime], checkout_id: str) -> Reservation:
    """Keep the pieces until a later time; an earlier one changes nothing."""

    def keep(session: Session) -> Reservation | None:
        reservation = reservations.find(session, checkout_id)
        if reservation is not None:
            reservations.extend(session, reservation, extension["expires_at"])
        return reservation

    reservation = _transaction(keep)
    if reservation is None:
        raise Problem(404, "reservation-not-found", f"Nothing is reserved for {checkout_id}.")
    if reservation.status != HELD:
        raise Problem(409, "reservation-conflict", f"The reservation is {reservation.status}, not held.")
    return reservation


def _transaction(work: Callable[[Session], T]) -> T:
    """Run in one write transaction, again when PostgreSQL chose it to resolve a deadlock.

    One reservation alone takes its locks in order, but a worker's batch of events holds those of several.
    """
    for attempt in range(1, DEADLOCK_TRIES + 1):
        try:
            with database().begin() as session:
                return work(session)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK or attempt == DEADLOCK_TRIES:
                raise
    raise AssertionError("the last attempt returns or raises")


def _valid_sku(sku: str) -> str:
    try:
        schemas.SKU(sku)
    except ValidationError as error:
        raise invalid_request(sku=error.messages) from None
    return sku


def _unknown_sku(sku: str) -> NoReturn:
    raise Problem(404, "sku-not-found", f"There is no sku {sku}. Set its on_hand to begin with it.")
