"""What people do with an order: decide what does not fit, and ship."""

from datetime import datetime
from typing import Any

from events.database.types import Json, UtcDateTime
from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base

ACCEPT, REFUND, CANCEL = "accept", "refund", "cancel"  # decisions
DUPLICATE = "duplicate-payment"


class Review(Base):
    """Something that does not fit, and what was decided about it.

    `subject` tells two of the same reason apart: the payment, where there may be several. `missing`: pieces that are
    not there, by sku.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint("decision IN ('accept','refund','cancel')", name="decision"),
        CheckConstraint("(decision IS NULL) = (resolved_at IS NULL)", name="settled"),
    )

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    detail: Mapped[str] = mapped_column(Text())
    missing: Mapped[dict[str, int]] = mapped_column(Json())
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime())
    decision: Mapped[str | None] = mapped_column(String(16))
    resolved_by: Mapped[str | None] = mapped_column(String(128))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    note: Mapped[str | None] = mapped_column(Text())

    @property
    def holds(self) -> bool:
        """Whether it was decided that the order does not ship. Giving a second payment back does not hold it."""
        return self.decision == CANCEL or (self.decision == REFUND and self.reason != DUPLICATE)


class Shipment(Base):
    """A parcel. `lines` are `{sku, quantity}`."""

    __tablename__ = "shipments"
    __table_args__ = (UniqueConstraint("order_id", "idempotency_key"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    carrier: Mapped[str | None] = mapped_column(String(64))
    tracking: Mapped[str | None] = mapped_column(String(128))
    tracking_url: Mapped[str | None] = mapped_column(Text())
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json())
    shipped_by: Mapped[str] = mapped_column(String(128))
    shipped_at: Mapped[datetime] = mapped_column(UtcDateTime())
