"""The mapping of domain errors to problem details."""

from collections.abc import Callable, Mapping
from typing import Any

from events.web.problems import Problem
from flask import Flask, Response

from inventory.errors import (
    BelowReservedError,
    OutOfStockError,
    ReservationCommittedError,
    ReservationConflictError,
    ReservationNotFoundError,
    UnknownSkuError,
)


def register(app: Flask) -> None:
    """Make the app answer each domain error with its problem."""
    for error in PROBLEMS:
        app.register_error_handler(error, _response)


def _response(error: Exception) -> Response:
    return PROBLEMS[type(error)](error).response()


PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    UnknownSkuError: lambda error: Problem(
        404,
        "sku-not-found",
        f"There is no stock of {error.sku}. Add it by a movement with its on_hand.",
    ),
    BelowReservedError: lambda error: Problem(
        409,
        "below-reserved",
        "Fewer pieces would be left than open checkouts have reserved. Keep that many, or release them first.",
        reserved=error.reserved,
        on_hand=error.on_hand,
    ),
    OutOfStockError: lambda error: Problem(
        409,
        "out-of-stock",
        "Some lines ask for more pieces than are available. Nothing was reserved. Reduce these lines.",
        lines=error.lines,
    ),
    ReservationNotFoundError: lambda error: Problem(
        404,
        "reservation-not-found",
        f"Nothing is reserved for {error.checkout_id}. Reserve its lines first.",
    ),
    ReservationConflictError: lambda error: Problem(
        409,
        "reservation-conflict",
        f"{error} Use a new checkout id.",
    ),
    ReservationCommittedError: lambda error: Problem(
        409,
        "reservation-committed",
        f"{error} Its pieces are paid for. Refund the order instead.",
    ),
}
