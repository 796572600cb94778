"""The mapping of domain errors to problem details."""

from collections.abc import Callable, Mapping
from typing import Any

from events.web.idempotency import key_reused
from events.web.problems import Problem, register_errors
from flask import Flask

from inventory.errors import (
    BelowZeroError,
    KeyReusedError,
    NotHeldError,
    OutOfStockError,
    PaymentPendingError,
    ReservationCommittedError,
    ReservationConflictError,
    ReservationNotFoundError,
    StaleCountError,
    StockChangedError,
    UnknownSkuError,
)
from inventory.models import COMMITTED


def register(app: Flask) -> None:
    """Make the app answer each domain error with its problem."""
    register_errors(app, PROBLEMS)


PROBLEMS: Mapping[type[Exception], Callable[[Any], Problem]] = {
    UnknownSkuError: lambda error: Problem(
        404,
        "sku-not-found",
        f"The sku {error.sku} is unknown. To create it, post a movement with on_hand, expected 0 and a reason:"
        " POST /stock/{sku}/movements.",
    ),
    BelowZeroError: lambda error: Problem(
        409,
        "below-zero",
        f"The change would make the stock on hand {error.on_hand}. It is {error.before} now: sold pieces do not count,"
        " even before they ship. Correct the number.",
        on_hand=error.before,
    ),
    StockChangedError: lambda error: Problem(
        409,
        "stock-changed",
        f"The stock on hand is {error.on_hand}, but the request expected {error.expected}."
        " Check the stock and try again. A count can send counted_at instead of expected.",
        on_hand=error.on_hand,
        expected=error.expected,
    ),
    StaleCountError: lambda error: Problem(
        409,
        "stale-count",
        f"{error.sku} was counted at {error.counted_at.isoformat()}, but the count or opening stock of"
        f" {error.newest.isoformat()} is newer. Nothing was changed. Count again.",
        counted_at=error.counted_at.isoformat(),
        newest=error.newest.isoformat(),
    ),
    KeyReusedError: lambda _: key_reused(),
    OutOfStockError: lambda error: Problem(
        409,
        "out-of-stock",
        "Some lines ask for more pieces than are available. Nothing was reserved. Reduce these lines.",
        lines=error.lines,
    ),
    ReservationNotFoundError: lambda error: Problem(
        404,
        "reservation-not-found",
        f"The checkout {error.checkout_id} has no reservation. Check the id, or reserve its lines first.",
    ),
    ReservationConflictError: lambda error: Problem(
        409,
        "reservation-conflict",
        f"{error} Use a new checkout id.",
    ),
    NotHeldError: lambda error: Problem(
        409,
        "reservation-conflict",
        f"The reservation of {error.checkout_id} is {error.status} and cannot be extended."
        + ("" if error.status == COMMITTED else " Its pieces are not held: check the stock."),
    ),
    PaymentPendingError: lambda error: Problem(
        409,
        "payment-pending",
        f"A delayed payment of {error.checkout_id} is under way. Operators can release its pieces with override: true.",
    ),
    ReservationCommittedError: lambda error: Problem(
        409,
        "reservation-committed",
        f"{error} Its pieces are paid for. Refund the order with restock instead.",
    ),
}
