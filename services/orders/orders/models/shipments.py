"""Shipments: the parcels of an order."""

from datetime import datetime
from typing import Any

from events.database.types import Json, UtcDateTime
from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class Shipment(Base):
    """One parcel. `lines` are `{sku, quantity}`. `override` is the reason why it shipped in spite of a chargeback."""

    __tablename__ = "shipments"
    __table_args__ = (UniqueConstraint("order_id", "idempotency_key"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    carrier: Mapped[str | None] = mapped_column(String(64))
    tracking: Mapped[str | None] = mapped_column(String(128))
    tracking_url: Mapped[str | None] = mapped_column(Text())
    override: Mapped[str | None] = mapped_column(Text())
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json())
    shipped_by: Mapped[str] = mapped_column(String(128))
    shipped_at: Mapped[datetime] = mapped_column(UtcDateTime())
