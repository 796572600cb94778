"""Low stock: one `inventory.stock.low` event each time a sku falls to the threshold.

`StockItem.is_low` remembers the event. It is reset once more pieces than the threshold are available.
"""

from events.database.engine import Database
from events.database.transaction import skip_locked
from events.messaging import outbox
from sqlalchemy import ColumnElement, not_, select

from inventory.models import StockItem

SKU_BATCH_SIZE = 100  # skus that one transaction locks; checkouts wait for it
available = StockItem.on_hand - StockItem.reserved


def publish_low_stock(database: Database, threshold: int) -> int:
    """Publish each sku that has fallen to `threshold` pieces or fewer since the last call. Return their number."""
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
                    data = {"sku": item.sku, "available": item.available, "threshold": threshold}
                    outbox.add(session, "inventory.stock.low", data, correlation_id=item.sku)
        marked += len(items)
        if len(items) < SKU_BATCH_SIZE:
            return marked
