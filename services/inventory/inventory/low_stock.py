"""Telling staff, once, that a sku runs low; again only after it had recovered."""

from events.database.engine import Database
from events.database.transaction import skip_locked
from events.messaging import outbox
from sqlalchemy import ColumnElement, select

from inventory.models import Stock

BATCH = 100  # skus a transaction locks; buyers wait for it
available = Stock.on_hand - Stock.reserved


def tell(database: Database, threshold: int) -> int:
    """Announce what fell to the threshold or below since the last look; how many skus."""
    _mark(database, available > threshold, threshold, is_low=False)
    return _mark(database, available <= threshold, threshold, is_low=True)


def _mark(database: Database, which: ColumnElement[bool], threshold: int, *, is_low: bool) -> int:
    changed = select(Stock).where(which, Stock.is_low.is_not(is_low)).order_by(Stock.sku).limit(BATCH)
    marked = 0
    while True:
        with database.begin() as session:
            stocks = session.scalars(skip_locked(session, changed)).all()
            for stock in stocks:
                stock.is_low = is_low
                if is_low:
                    data = {"sku": stock.sku, "available": stock.available, "threshold": threshold}
                    outbox.add(session, "inventory.stock.low", data, correlation_id=stock.sku)
        marked += len(stocks)
        if len(stocks) < BATCH:
            return marked
