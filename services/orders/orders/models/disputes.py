"""Disputes of an order's payments."""

from datetime import datetime
from enum import StrEnum

from events.database.types import UtcDateTime
from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class DisputeStatus(StrEnum):
    """Stripe's statuses of a dispute, weakest first. Stripe may add others, so no constraint lists them.

    An inquiry (`warning_…`) moves no money and may become a dispute. A `prevented` one was refunded before that.
    """

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    PREVENTED = "prevented"
    CHARGE_REFUNDED = "charge_refunded"
    WON = "won"
    LOST = "lost"


CLOSED = (
    DisputeStatus.WARNING_CLOSED,
    DisputeStatus.PREVENTED,
    DisputeStatus.CHARGE_REFUNDED,
    DisputeStatus.WON,
    DisputeStatus.LOST,
)


class Dispute(Base):
    """A dispute or an inquiry by the customer's bank, by Stripe's id."""

    __tablename__ = "disputes"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_id: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(32), index=True)
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    reason: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime())
    evidence_due_by: Mapped[datetime | None] = mapped_column(UtcDateTime())
    funds_withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    funds_reinstated_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def advance_status(self, status: str) -> bool:
        """Record Stripe's status; return False if it is stale, that is, the known one is as strong or stronger."""
        if _strength(status) <= _strength(self.status):
            return False
        self.status = status
        return True

    @property
    def is_closed(self) -> bool:
        """True once the bank has decided, or the inquiry has ended."""
        return self.status in CLOSED

    @property
    def is_inquiry(self) -> bool:
        """True if the bank only asks about the payment."""
        return self.status.startswith("warning_")

    @property
    def funds_withdrawn(self) -> bool:
        """True while the bank has the money."""
        return self.funds_withdrawn_at is not None and self.funds_reinstated_at is None


def _strength(status: str) -> int:
    """Return a status's rank. An unknown status ranks as an open dispute, so that an operator looks at it."""
    known = list(DisputeStatus)
    return known.index(DisputeStatus(status) if status in known else DisputeStatus.UNDER_REVIEW)
