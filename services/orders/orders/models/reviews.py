"""Reviews: paid orders that need a decision, and the decision of an operator, the policy or Stripe."""

from datetime import datetime

from events.database.types import Json, UtcDateTime, one_of
from events.messaging.contracts.reviews import ReviewDecision, ReviewReason
from sqlalchemy import CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class Review(Base):
    """One reason why a paid order needs a decision, and the decision.

    `subject` distinguishes reviews with the same reason: it is the payment, the warning, Radar's review or the return
    that the review is about, else empty. `missing` is the number of pieces that are not in stock, by sku.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        one_of("reason", ReviewReason),
        one_of("decision", ReviewDecision),
        CheckConstraint("(decision IS NULL) = (resolved_at IS NULL)", name="resolved"),
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
    def blocks_shipping(self) -> bool:
        """True if the decision was not to ship; False without a decision, and for a refund of a duplicate payment."""
        if self.decision == ReviewDecision.REFUND:
            return self.reason != ReviewReason.DUPLICATE_PAYMENT
        return self.decision == ReviewDecision.CANCEL
