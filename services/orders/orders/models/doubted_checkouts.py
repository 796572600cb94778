"""Doubted checkouts: inventory has published that their reserved pieces may be gone."""

from datetime import datetime

from events.database.types import UtcDateTime
from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class DoubtedCheckout(Base):
    """A checkout whose order is not published as paid until inventory has published whether it took the pieces.

    The table has no foreign key, because the doubt can arrive before the order.
    """

    __tablename__ = "doubted_checkouts"

    checkout_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    doubted_at: Mapped[datetime] = mapped_column(UtcDateTime())
