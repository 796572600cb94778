"""Disputes of an order's payments."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from events.database.types import Json, UtcDateTime, partial_index, quoted
from events.messaging.dispute_status import CLOSED_STATUSES, is_closed, is_inquiry
from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class DisputeStatus(StrEnum):
    """Stripe's statuses of a dispute. Stripe may add others, so no constraint lists them.

    An inquiry (`warning_…`) moves no money and may become a dispute. `prevented` means that a refund of the payment
    prevented the dispute. A lost dispute can be appealed and then be won, and a cardholder can withdraw a dispute. Of
    two statuses that Stripe reported in the same second, the later one in this list counts.
    """

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    PREVENTED = "prevented"
    CHARGE_REFUNDED = "charge_refunded"
    LOST = "lost"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response"
    APPEAL_UNDER_REVIEW = "appeal_under_review"
    WON = "won"


CLOSED = tuple(DisputeStatus(status) for status in CLOSED_STATUSES)


class Dispute(Base):
    """A dispute or an inquiry by the customer's bank, under Stripe's id.

    `status` is what Stripe reported last, at `status_at`. `movements` are the balance transactions by id, as
    `{amount, created, currency}` in the currency of the payout. `amount_withdrawn`, `amount_reinstated` and
    `amount_held` (what the bank keeps now) derive from the movements, or from the status if Stripe listed none. They
    are in minor units of the dispute's currency, as the disputed `amount` is.
    """

    __tablename__ = "disputes"
    __table_args__ = (
        Index("ix_disputes_evidence_due_by_id", "evidence_due_by", "id"),
        partial_index("ix_disputes_not_closed", f"status NOT IN ({quoted(CLOSED)})", "evidence_due_by", "id"),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_id: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(64), index=True)
    status_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), index=True)
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    amount_withdrawn: Mapped[int | None] = mapped_column(BigInteger())
    amount_reinstated: Mapped[int | None] = mapped_column(BigInteger())
    amount_held: Mapped[int | None] = mapped_column(BigInteger())
    movements: Mapped[dict[str, Any] | None] = mapped_column(Json())
    reason: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
    evidence_due_by: Mapped[datetime | None] = mapped_column(UtcDateTime())
    funds_withdrawn_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    funds_reinstated_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def record_status(self, status: str, at: datetime) -> bool:
        """Record the status that Stripe reported at an instant; return False if it is known or stale."""
        known = self.status_at or self.opened_at, _rank(self.status)
        if (at, _rank(status)) <= known:
            return False
        is_new = status != self.status
        self.status, self.status_at = status, at
        return is_new

    @property
    def is_closed(self) -> bool:
        """True if the dispute is won, lost, prevented or refunded, or the inquiry closed. An appeal opens it again."""
        return is_closed(self.status)

    @property
    def is_inquiry(self) -> bool:
        """True if the bank only asks about the payment and moves no money."""
        return is_inquiry(self.status)

    @property
    def funds_withdrawn(self) -> bool:
        """True while the bank has the money or a part of it."""
        return bool(self.amount_held)

    @property
    def blocks_refunds(self) -> bool:
        """True for an open chargeback, even about a part of the payment: Stripe then refunds nothing of the payment."""
        return not (self.is_closed or self.is_inquiry)


def _rank(status: str) -> int:
    """Return a status's rank among statuses of the same second. An unknown status ranks as `under_review`."""
    known = list(DisputeStatus)
    return known.index(DisputeStatus(status) if status in known else DisputeStatus.UNDER_REVIEW)
