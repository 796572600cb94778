"""The ledger: the stock on hand, and one movement for each change of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update, insert_once
from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory import schemas
from inventory.errors import BelowReservedError, UnknownSkuError
from inventory.models import ADJUSTMENT, OPENING, Movement, StockItem


def record_movement(
    session: Session,
    item: StockItem,
    kind: str,
    delta: int,
    *,
    reason: str,
    actor: str,
    occurred_at: datetime,
    checkout_id: str | None = None,
    return_id: str | None = None,
) -> None:
    """Change `on_hand` by `delta` and add the movement. The item's row must be locked."""
    item.on_hand += delta
    note = {"checkout_id": checkout_id, "return_id": return_id, "reason": reason, "actor": actor}
    session.add(Movement(sku=item.sku, kind=kind, delta=delta, occurred_at=occurred_at, **note))


def set_on_hand(
    session: Session, sku: str, on_hand: int, *, reason: str, actor: str, occurred_at: datetime
) -> StockItem:
    """Set `on_hand` to a counted number, also for a new sku. Raises `BelowReservedError`."""
    insert_once(session, StockItem, sku=sku, on_hand=0, reserved=0)
    item = _lock_item(session, sku)
    return _record_adjustment(session, item, on_hand - item.on_hand, reason, actor, occurred_at)


def adjust_on_hand(
    session: Session, sku: str, delta: int, *, reason: str, actor: str, occurred_at: datetime
) -> StockItem:
    """Add the pieces that arrived, or subtract (negative `delta`) the lost ones.

    Raises `BelowReservedError` or `UnknownSkuError`.
    """
    return _record_adjustment(session, _lock_item(session, sku), delta, reason, actor, occurred_at)


def seed(database: Database, document: Mapping[str, Any]) -> int:
    """Set the opening stock of a catalog's new products and return their number. Existing products are kept.

    Raises marshmallow's `ValidationError` for a document that is not a catalog.
    """
    products = schemas.Catalog().load(document)["products"]
    with database.begin() as session:
        return sum(_record_opening(session, product["sku"], product["stock"]) for product in products)


def _record_opening(session: Session, sku: str, on_hand: int) -> bool:
    if not insert_once(session, StockItem, sku=sku, on_hand=0, reserved=0):
        return False
    item = _lock_item(session, sku)
    record_movement(session, item, OPENING, on_hand, reason="opening stock", actor="seed", occurred_at=utcnow())
    return True


def _record_adjustment(
    session: Session, item: StockItem, delta: int, reason: str, actor: str, occurred_at: datetime
) -> StockItem:
    on_hand = item.on_hand + delta
    if on_hand < item.reserved:
        raise BelowReservedError(item.sku, on_hand, item.reserved)
    if delta:
        record_movement(session, item, ADJUSTMENT, delta, reason=reason, actor=actor, occurred_at=occurred_at)
    return item


def _lock_item(session: Session, sku: str) -> StockItem:
    item = session.scalar(for_update(session, select(StockItem).where(StockItem.sku == sku)))
    if item is None:
        raise UnknownSkuError(sku)
    return item
