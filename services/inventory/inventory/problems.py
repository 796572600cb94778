"""Problems: the inventory's domain errors as problem details."""

from events.web.problems import Problem
from flask import Flask, Response

from inventory.ledger import BelowReservedError, UnknownSkuError
from inventory.reservations import (
    OutOfStockError,
    ReservationCommittedError,
    ReservationConflictError,
    ReservationNotFoundError,
)


def register(app: Flask) -> None:
    """Make the app answer domain errors with problems."""
    app.register_error_handler(UnknownSkuError, _unknown_sku)
    app.register_error_handler(BelowReservedError, _below_reserved)
    app.register_error_handler(OutOfStockError, _out_of_stock)
    app.register_error_handler(ReservationNotFoundError, _reservation_not_found)
    app.register_error_handler(ReservationConflictError, _reservation_conflict)
    app.register_error_handler(ReservationCommittedError, _reservation_committed)


def _unknown_sku(error: UnknownSkuError) -> Response:
    detail = f"There is no stock of {error.sku}. Add it by a movement with its on_hand."
    return Problem(404, "sku-not-found", detail).response()


def _below_reserved(error: BelowReservedError) -> Response:
    detail = "Fewer pieces would be left than open checkouts have reserved. Keep that many, or release them first."
    return Problem(409, "below-reserved", detail, reserved=error.reserved, on_hand=error.on_hand).response()


def _out_of_stock(error: OutOfStockError) -> Response:
    detail = "Some lines ask for more pieces than are available. Nothing was reserved. Reduce these lines."
    return Problem(409, "out-of-stock", detail, lines=error.lines).response()


def _reservation_not_found(error: ReservationNotFoundError) -> Response:
    detail = f"Nothing is reserved for {error.checkout_id}. Reserve its lines first."
    return Problem(404, "reservation-not-found", detail).response()


def _reservation_conflict(error: ReservationConflictError) -> Response:
    return Problem(409, "reservation-conflict", f"{error} Use a new checkout id.").response()


def _reservation_committed(error: ReservationCommittedError) -> Response:
    return Problem(
        409, "reservation-committed", f"{error} Its pieces are paid for. Refund the order instead."
    ).response()
