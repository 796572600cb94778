"""The timeline of an order: what happened, in sentences for the shop's staff."""

from datetime import datetime
from enum import StrEnum

from events.database.types import UtcDateTime, one_of
from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class EntryKind(StrEnum):
    """The kinds of timeline entries."""

    STARTED = "started"
    CANCELED = "canceled"
    EXPIRED = "expired"
    PAID = "paid"
    PAYMENT_PENDING = "payment-pending"
    PAYMENT_SUCCEEDED = "payment-succeeded"
    PAYMENT_FAILED = "payment-failed"
    PAYMENT_ATTEMPT_FAILED = "payment-attempt-failed"
    REVIEW_OPENED = "review-opened"
    REVIEW_RESOLVED = "review-resolved"
    REFUND_REQUESTED = "refund-requested"
    REFUND_UNANSWERED = "refund-unanswered"
    REFUND_REFUSED = "refund-refused"
    REFUND_REQUIRES_ACTION = "refund-requires-action"
    REFUND_PENDING = "refund-pending"
    REFUND_SUCCEEDED = "refund-succeeded"
    REFUND_CANCELED = "refund-canceled"
    REFUND_FAILED = "refund-failed"
    DISPUTE_OPENED = "dispute-opened"
    DISPUTE_UPDATED = "dispute-updated"
    DISPUTE_EVIDENCE_DUE = "dispute-evidence-due"
    DISPUTE_FUNDS_WITHDRAWN = "dispute-funds-withdrawn"
    DISPUTE_FUNDS_REINSTATED = "dispute-funds-reinstated"
    DISPUTE_CLOSED = "dispute-closed"
    SHIPPED = "shipped"
    CUSTOMER_ERASED = "customer-erased"
    REFUND_STATUS = "refund-status"  # a status of Stripe's that this release does not know
    RADAR = "radar"
    ADDRESS_ADDED = "address-added"


class TimelineEntry(Base):
    """One entry of an order's timeline.

    `cause_id` is the id of what the entry is about: an event, a refund or its request, a shipment, a review decision,
    a cancellation or an erasure.
    """

    __tablename__ = "timeline_entries"
    __table_args__ = (UniqueConstraint("order_id", "cause_id", "kind"), one_of("kind", EntryKind))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    happened_at: Mapped[datetime] = mapped_column(UtcDateTime())
    kind: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text())
    cause_id: Mapped[str] = mapped_column(String(255))
