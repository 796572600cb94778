"""Errors of requests, raised by the domain modules. problems.py maps each of them to a problem."""

from collections.abc import Mapping, Sequence
from typing import Any


class UnknownSkuError(Exception):
    """The sku has no stock item."""

    def __init__(self, sku: str) -> None:
        self.sku = sku
        super().__init__(sku)


class BelowReservedError(Exception):
    """The change would leave `on_hand` pieces: fewer than open checkouts have reserved, or fewer than zero."""

    def __init__(self, sku: str, on_hand: int, reserved: int) -> None:
        self.sku, self.on_hand, self.reserved = sku, on_hand, reserved
        super().__init__(sku, on_hand, reserved)


class OutOfStockError(Exception):
    """More pieces are asked for than are available. `lines` has {sku, requested, available} for each such sku."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.lines = lines
        super().__init__(lines)


class ReservationNotFoundError(Exception):
    """Nothing is reserved for the checkout."""

    def __init__(self, checkout_id: str) -> None:
        self.checkout_id = checkout_id
        super().__init__(checkout_id)


class ReservationConflictError(Exception):
    """The checkout's reservation has other lines, or a status that does not allow the request. The text says which."""


class ReservationCommittedError(ReservationConflictError):
    """The reservation is committed: its pieces are paid for."""
