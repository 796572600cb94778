"""Low stock: an `inventory.stock.low` event when a check finds a sku at or below the threshold.

The check then sets `StockItem.is_low`, so no second event follows. Once more pieces than the threshold are available, a
check resets `is_low`.

A sku that does not fit into a message is logged instead of published, so that it does not block the other skus. It is
also marked as low, and not logged again until it has recovered.
"""

from events.database.engine import Database
from events.database.transaction import skip_locked
from events.errors import UnpublishableError
from events.messaging import outbox
from events.observability.logging import get_logger
from sqlalchemy import ColumnElement, not_, select
from sqlalchemy.orm import Session

from inventory.models import StockItem

SKU_BATCH_SIZE = 100  # skus that one transaction locks; checkouts wait for it
available = StockItem.on_hand - StockItem.reserved

log = get_logger(__name__)


def publish_low_stock(database: Database, threshold: int) -> int:
    """Publish each sku that has at most `threshold` available pieces and is not marked as low. Return their number."""
    _mark(database, available > threshold, threshold, is_low=False)
    return _mark(database, available <= threshold, threshold, is_low=True)


def _mark(database: Database, condition: ColumnElement[bool], threshold: int, *, is_low: bool) -> int:
    marked_before = not_(StockItem.is_low) if is_low else StockItem.is_low
    changed = select(StockItem).where(condition, marked_before).order_by(StockItem.sku).limit(SKU_BATCH_SIZE)
    marked = 0
    while True:
        with database.begin() as session:
            items = session.scalars(skip_locked(session, changed)).all()
            for item in items:
                item.is_low = is_low
                if is_low:
                    _publish(session, item, threshold)
        marked += len(items)
        if len(items) < SKU_BATCH_SIZE:
            return marked


def _publish(session: Session, item: StockItem, threshold: int) -> None:
    data = {"sku": item.sku, "available": item.available, "threshold": threshold}
    try:
        outbox.add(session, "inventory.stock.low", data, correlation_id=item.sku)
    except UnpublishableError:
        log.exception("low stock cannot be published", **data)
