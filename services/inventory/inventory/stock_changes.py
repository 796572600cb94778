"""Operators' changes of the stock: counts and adjustments, once per key, and the stock as operators see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from events.web.idempotency import fingerprint
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from inventory import ledger
from inventory.errors import BelowZeroError, KeyReusedError, StaleCountError, StockChangedError
from inventory.models import ADJUSTMENT, Movement, ReservationLine, StockChange, StockItem


@dataclass(frozen=True, kw_only=True)
class StockRequest:
    """An operator's request: `on_hand` pieces were counted, or `adjust` pieces are added.

    A count has the stock on hand that the operator saw (`expected`), or its time in ISO 8601 (`counted_at`). Movements
    after that time still apply.
    """

    sku: str
    on_hand: int | None = None
    adjust: int | None = None
    expected: int | None = None
    counted_at: str | None = None
    reason: str


def change_stock(
    session: Session, request: StockRequest, key: str | None, *, actor: str, now: datetime
) -> dict[str, Any]:
    """Apply a count or an adjustment and return the sku's stock; return the first answer for a repeated key.

    A count creates the stock of an unknown sku.

    Raises `KeyReusedError`, `UnknownSkuError`, `BelowZeroError`, `StockChangedError`, or `StaleCountError`.
    """
    if key is not None:
        asked = fingerprint(request)
        if not insert_once(session, StockChange, idempotency_key=key, fingerprint=asked, answer={}, created_at=now):
            return _first_answer(session, key, asked)
    if request.on_hand is not None:
        insert_once(session, StockItem, sku=request.sku, on_hand=0, reserved=0)
    item = ledger.lock_item(session, request.sku)
    _check_expected(item, request.expected)
    occurred_at = now
    delta = request.adjust or 0
    if request.on_hand is not None:
        if request.counted_at is not None:
            occurred_at = datetime.fromisoformat(request.counted_at)
            _check_newest(item, occurred_at)
        item.counted_at = occurred_at
        delta = request.on_hand - (item.on_hand - _moved_after(session, request.sku, request.counted_at))
    _record_adjustment(session, item, delta, request.reason, actor, occurred_at)
    [answer] = stock_values(session, [item])
    if key is not None:
        session.execute(update(StockChange).where(StockChange.idempotency_key == key).values(answer=answer))
    return answer


def stock_values(session: Session, items: Sequence[StockItem]) -> list[dict[str, Any]]:
    """Return the stock of these items as operators see it, with the sold pieces that wait for their parcel."""
    waiting = _count_sold_unshipped(session, [item.sku for item in items])
    names = ("sku", "on_hand", "reserved", "available", "deficit")
    return [
        {name: getattr(item, name) for name in names} | {"sold_unshipped": waiting.get(item.sku, 0)} for item in items
    ]


def _count_sold_unshipped(session: Session, skus: Sequence[str]) -> dict[str, int]:
    """Return the pieces that are sold and wait for their parcel, by sku. They are not part of `on_hand`."""
    waiting = (
        select(ReservationLine.sku, func.sum(ReservationLine.sold_unshipped).label("pieces"))
        .where(ReservationLine.sku.in_(skus), ReservationLine.sold_unshipped > 0)
        .group_by(ReservationLine.sku)
    )
    return {row.sku: int(row.pieces) for row in session.execute(waiting)}


def _record_adjustment(
    session: Session, item: StockItem, delta: int, reason: str, actor: str, occurred_at: datetime
) -> None:
    on_hand = item.on_hand + delta
    if on_hand < 0:
        raise BelowZeroError(item.sku, item.on_hand, on_hand)
    if delta:
        ledger.record_movement(session, item, ADJUSTMENT, delta, reason=reason, actor=actor, occurred_at=occurred_at)


def _check_expected(item: StockItem, expected: int | None) -> None:
    if expected is not None and expected != item.on_hand:
        raise StockChangedError(item.sku, expected, item.on_hand)


def _check_newest(item: StockItem, counted_at: datetime) -> None:
    """Raise `StaleCountError` if a later count, or a later opening stock, is recorded.

    The later count already includes the difference that this count found, which must not be applied twice.
    """
    if item.counted_at is not None and counted_at < item.counted_at:
        raise StaleCountError(item.sku, counted_at, item.counted_at)


def _moved_after(session: Session, sku: str, counted_at: str | None) -> int:
    """Return the sum of a sku's movements after an instant; 0 without an instant."""
    if counted_at is None:
        return 0
    later = Movement.occurred_at > datetime.fromisoformat(counted_at)
    return int(
        session.scalar(select(func.coalesce(func.sum(Movement.delta), 0)).where(Movement.sku == sku, later)) or 0
    )


def _first_answer(session: Session, key: str, asked: str) -> dict[str, Any]:
    """Return the answer that the key's first request got. Raises `KeyReusedError` for a different request."""
    first = session.get_one(StockChange, key)
    if first.fingerprint != asked:
        raise KeyReusedError
    return first.answer
