"""The orders' tables: what is known of an order, as rows that are added and never contradict each other."""

from collections.abc import Sequence
from pathlib import Path

from events.database.migrations import Chain
from events.messaging.chains import INBOX, OUTBOX

from orders.models.base import Base
from orders.models.money import (
    DISPUTE_STATUSES,
    REFUND_STATUSES,
    REQUESTED,
    SUCCEEDED,
    Dispute,
    Payment,
    PaymentAttempt,
    Refund,
    RefundIntention,
    Stray,
)
from orders.models.operations import Review, Shipment
from orders.models.orders import (
    CANCELED,
    EXPIRED,
    FAILED,
    FULFILLMENT_STATUSES,
    OPEN,
    PAID,
    PENDING,
    REFUNDED,
    STATUSES,
    Order,
    OrderLine,
    OrderSession,
    TimelineEntry,
)

__all__ = [
    "CANCELED",
    "CHAINS",
    "DISPUTE_STATUSES",
    "EXPIRED",
    "FAILED",
    "FULFILLMENT_STATUSES",
    "OPEN",
    "PAID",
    "PENDING",
    "REFUNDED",
    "REFUND_STATUSES",
    "REQUESTED",
    "STATUSES",
    "SUCCEEDED",
    "Base",
    "Dispute",
    "Order",
    "OrderLine",
    "OrderSession",
    "Payment",
    "PaymentAttempt",
    "Refund",
    "RefundIntention",
    "Review",
    "Shipment",
    "Stray",
    "TimelineEntry",
]

CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("orders", Base.metadata, Path(__file__).parent.parent / "migrations" / "versions"),
)
