"""The ledger: the stock on hand, and one movement for each change of it. stock_changes.py has operators' changes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from events.clock import utcnow
from events.database.engine import Database
from events.database.transaction import for_update, insert_once
from sqlalchemy import select
from sqlalchemy.orm import Session

from inventory import doubts, schemas
from inventory.errors import UnknownSkuError
from inventory.models import OPENING, Movement, StockItem


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
    """Change `on_hand` by `delta` and add the movement. The item's row must be locked.

    If pieces leave, and fewer are then on hand than reserved, publish a doubt for each checkout that holds this sku.
    """
    item.on_hand += delta
    note = {"checkout_id": checkout_id, "return_id": return_id, "reason": reason, "actor": actor}
    session.add(Movement(sku=item.sku, kind=kind, delta=delta, occurred_at=occurred_at, **note))
    if delta < 0 and item.deficit:
        doubts.publish_doubts_for_sku(session, item.sku)


def seed(database: Database, document: Mapping[str, Any]) -> int:
    """Set the opening stock of a catalog's new skus and return their number. Known skus keep their stock.

    Raises marshmallow's `ValidationError` for a document that is not a catalog.
    """
    products = schemas.Catalog().load(document)["products"]
    with database.begin() as session:
        return sum(_record_opening(session, product["sku"], product["stock"]) for product in products)


def _record_opening(session: Session, sku: str, on_hand: int) -> bool:
    if not insert_once(session, StockItem, sku=sku, on_hand=0, reserved=0):
        return False
    item = lock_item(session, sku)
    item.counted_at = now = utcnow()
    record_movement(session, item, OPENING, on_hand, reason="opening stock", actor="seed", occurred_at=now)
    return True


def lock_item(session: Session, sku: str) -> StockItem:
    """Lock a stock item until the transaction ends and return it. Raises `UnknownSkuError`."""
    item = session.scalar(for_update(session, select(StockItem).where(StockItem.sku == sku)))
    if item is None:
        raise UnknownSkuError(sku)
    return item
