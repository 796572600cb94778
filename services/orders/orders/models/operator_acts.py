"""Idempotency keys of decisions on reviews and of cancellations, which no other row stores."""

from datetime import datetime

from events.database.types import UtcDateTime
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class OperatorAct(Base):
    """One act of an operator on an order: a review's resolution or a cancellation."""

    __tablename__ = "operator_acts"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(128))
    acted_at: Mapped[datetime] = mapped_column(UtcDateTime())
