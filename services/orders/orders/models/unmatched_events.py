"""Unmatched events: refund, dispute and Radar events whose payment is not known yet."""

from datetime import datetime
from typing import Any

from events.database.types import Json, UtcDateTime
from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class UnmatchedEvent(Base):
    """A stored event whose payment is not known. It may belong to another shop on the same Stripe account."""

    __tablename__ = "unmatched_events"

    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    payment_id: Mapped[str] = mapped_column(String(255), index=True)
    headers: Mapped[dict[str, Any]] = mapped_column(Json())
    body: Mapped[bytes] = mapped_column(LargeBinary())
    parked_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
