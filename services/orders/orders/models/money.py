"""The money of an order: payments, tries that failed, refunds and who asked for them, disputes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.clock import utcnow
from events.database.types import Json, UtcDateTime
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base

SUCCEEDED, FAILED, CANCELED = "succeeded", "failed", "canceled"

# The strongest status that was told of a refund is its status, whatever came last. One that succeeded can still fail.
REFUND_STATUSES = ("requires_action", "pending", SUCCEEDED, CANCELED, FAILED)
REFUND_OVER = (CANCELED, FAILED)  # the money is with the shop again
REQUESTED = "requested"  # of an intention that Stripe has not answered yet

# As above. An inquiry (warning_…) moves no money and may become a dispute; `prevented`: refunded before it was one.
DISPUTE_STATUSES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "prevented",
    "charge_refunded",
    "won",
    "lost",
)
DISPUTE_OVER = ("warning_closed", "prevented", "charge_refunded", "won", "lost")


class Payment(Base):
    """Money for an order, by payment intent; by session where the order is free.

    `state` is what Stripe says of the money. `paid_at` is when a session said that it is paid with this: only that
    fulfils, since only the session bears the amounts that the order is checked against.
    """

    __tablename__ = "payments"
    __table_args__ = (CheckConstraint("state IN ('pending','succeeded','failed')", name="state"),)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    session_id: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    amount_tax: Mapped[int] = mapped_column(BigInteger())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())

    def succeed(self) -> bool:
        return self._become(SUCCEEDED, unless=(SUCCEEDED,))

    def fail(self) -> bool:
        return self._become(FAILED, unless=(SUCCEEDED, FAILED))

    def settle(self, at: datetime) -> bool:
        """A session is paid with this."""
        self.succeed()
        if self.paid_at is not None:
            return False
        self.paid_at = at
        return True

    def _become(self, state: str, unless: Sequence[str]) -> bool:
        if self.state in unless:
            return False
        self.state = state
        return True


class PaymentAttempt(Base):
    """A try to pay that failed, by charge id where there is one. Not an end: the customer may try again."""

    __tablename__ = "payment_attempts"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_intent: Mapped[str | None] = mapped_column(String(255))
    code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Text())
    at: Mapped[datetime] = mapped_column(UtcDateTime())


class Refund(Base):
    """Money that goes back, by Stripe's id, from an operator's intention or made in Stripe's dashboard."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("status IN ('pending','requires_action','succeeded','failed','canceled')", name="status"),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_id: Mapped[str] = mapped_column(String(255))
    intention_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    reason: Mapped[str | None] = mapped_column(String(64))
    failure_reason: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)

    def become(self, status: str, failure_reason: str | None) -> bool:
        """Take in what Stripe says; False if that, or something stronger, is known."""
        self.failure_reason = self.failure_reason or failure_reason
        if REFUND_STATUSES.index(status) <= REFUND_STATUSES.index(self.status):
            return False
        self.status = status
        return True

    @property
    def counts(self) -> bool:
        """Whether this money has left the shop, or is about to."""
        return self.status not in REFUND_OVER


class RefundIntention(Base):
    """A refund that somebody asked us for, stored before Stripe is. Its id is the idempotency key at Stripe.

    `lines` are `{sku, quantity, restock}`. `next_attempt_at`: when the worker asks Stripe (again), None once it has
    answered.
    """

    __tablename__ = "refund_requests"
    __table_args__ = (
        UniqueConstraint("order_id", "idempotency_key"),
        CheckConstraint(
            "status IN ('requested','pending','requires_action','succeeded','failed','canceled')", name="status"
        ),
        Index("ix_refund_intentions_next_attempt_at", "next_attempt_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    checkout_id: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    payment_id: Mapped[str] = mapped_column(String(255))
    refund_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    status: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    reason: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str | None] = mapped_column(Text())
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json())
    requested_by: Mapped[str] = mapped_column(String(128))
    error: Mapped[str | None] = mapped_column(Text())
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    stock_returned_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())

    @property
    def is_asked(self) -> bool:
        """Stripe has not answered: it may or may not have made the refund."""
        return self.status == REQUESTED

    @property
    def is_refused(self) -> bool:
        """Stripe has answered, and made no refund of it."""
        return self.status == FAILED and self.refund_id is None

    @property
    def counts(self) -> bool:
        """Whether its pieces are, or may be, refunded."""
        return self.status not in REFUND_OVER

    def answer(self, refund: Refund) -> bool:
        """Stripe has made this refund of it; False if it had made another one before."""
        if self.refund_id not in (None, refund.id):
            return False
        self.refund_id, self.status, self.next_attempt_at, self.error = refund.id, refund.status, None, None
        return True

    def refuse(self, error: str) -> None:
        """Stripe will never make it."""
        self.status, self.next_attempt_at, self.error = FAILED, None, error

    def return_stock(self) -> Sequence[Mapping[str, Any]]:
        """What goes back to the shelf with this refund; once."""
        if self.stock_returned_at is not None:
            return ()
        self.stock_returned_at = utcnow()
        return [{"sku": line["sku"], "quantity": line["quantity"]} for line in self.lines if line["restock"]]


class Dispute(Base):
    """A customer's bank takes the money back, or (inquiry) asks whether it should; by Stripe's id."""

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

    def become(self, status: str) -> bool:
        """Take in what Stripe says; False if that, or something stronger, is known."""
        if _strength(status) <= _strength(self.status):
            return False
        self.status = status
        return True

    @property
    def is_over(self) -> bool:
        return self.status in DISPUTE_OVER

    @property
    def is_inquiry(self) -> bool:
        return self.status.startswith("warning_")

    @property
    def funds_withdrawn(self) -> bool:
        """Whether the bank has the money now."""
        return self.funds_withdrawn_at is not None and self.funds_reinstated_at is None


def _strength(status: str) -> int:
    """A status that Stripe invents one day counts as an open dispute: somebody should look."""
    return DISPUTE_STATUSES.index(status if status in DISPUTE_STATUSES else "under_review")


class Stray(Base):
    """An event of money that came before the payment it is about, or is of another shop on the same account."""

    __tablename__ = "strays"

    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    payment_id: Mapped[str] = mapped_column(String(255), index=True)
    headers: Mapped[dict[str, Any]] = mapped_column(Json())
    body: Mapped[bytes] = mapped_column(LargeBinary())
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)
