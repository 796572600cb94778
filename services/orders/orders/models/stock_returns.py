"""Pieces that refunds and cancellations put back in stock, and pieces that left it again because a refund failed."""

from datetime import datetime

from events.database.types import UtcDateTime
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class StockReturn(Base):
    """The pieces of one sku in one return. Numbers are negative where pieces left the stock again.

    `shipped` pieces came back from the customer, `unshipped` pieces never left the shop. `return_id` is the id under
    which inventory books the return once.
    """

    __tablename__ = "stock_returns"

    return_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    sku: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    shipped: Mapped[int]
    unshipped: Mapped[int]
    returned_at: Mapped[datetime] = mapped_column(UtcDateTime())
