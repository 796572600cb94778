"""Errors of requests, raised by the domain modules. problems.py maps each of them to a problem."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class UnknownSkuError(Exception):
    """The sku has no stock item."""

    def __init__(self, sku: str) -> None:
        self.sku = sku
        super().__init__(sku)


class BelowZeroError(Exception):
    """The change would make the stock negative: from `before` pieces on hand to `on_hand`."""

    def __init__(self, sku: str, before: int, on_hand: int) -> None:
        self.sku, self.before, self.on_hand = sku, before, on_hand
        super().__init__(sku, before, on_hand)


class StockChangedError(Exception):
    """The stock on hand is not the `expected` number, for example after a sale or another operator's change."""

    def __init__(self, sku: str, expected: int, on_hand: int) -> None:
        self.sku, self.expected, self.on_hand = sku, expected, on_hand
        super().__init__(sku, expected, on_hand)


class StaleCountError(Exception):
    """The pieces were counted before `newest`, the time of the sku's last count or opening stock."""

    def __init__(self, sku: str, counted_at: datetime, newest: datetime) -> None:
        self.sku, self.counted_at, self.newest = sku, counted_at, newest
        super().__init__(sku, counted_at, newest)


class KeyReusedError(Exception):
    """The Idempotency-Key was used for a different request."""


class OutOfStockError(Exception):
    """More pieces are asked for than are available. `lines` has {sku, requested, available} for each such sku."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        self.lines = lines
        super().__init__(lines)


class ReservationNotFoundError(Exception):
    """The checkout has no reservation, not even one that has ended."""

    def __init__(self, checkout_id: str) -> None:
        self.checkout_id = checkout_id
        super().__init__(checkout_id)


class ReservationConflictError(Exception):
    """A checkout cannot be reserved: its reservation has other lines, or is no longer held. The text says which."""


class NotHeldError(Exception):
    """The reservation cannot be extended: it has the status `status`, and its pieces are not held."""

    def __init__(self, checkout_id: str, status: str) -> None:
        self.checkout_id, self.status = checkout_id, status
        super().__init__(checkout_id, status)


class ReservationCommittedError(Exception):
    """The reservation is committed: its pieces are paid for."""


class PaymentPendingError(Exception):
    """The reservation is not released without `override`: a delayed payment of its checkout is under way."""

    def __init__(self, checkout_id: str) -> None:
        self.checkout_id = checkout_id
        super().__init__(checkout_id)
