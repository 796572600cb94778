"""Refund lookups: payments whose refunds at Stripe may not all be booked."""

from datetime import datetime

from events.database.types import UtcDateTime
from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class RefundLookup(Base):
    """The lookup of one payment's refunds.

    `amount_refunded` is the sum that Stripe reported, in minor units of the payment's currency. At `next_attempt_at`,
    the worker compares this sum with the booked refunds.
    """

    __tablename__ = "refund_lookups"

    payment_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    amount_refunded: Mapped[int] = mapped_column(BigInteger())
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
