"""Refund requests of operators or the policy, and the refunds that exist at Stripe."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from events.database.types import Json, UtcDateTime, partial_index, quoted
from events.messaging.contracts.refunds import RefundStatus
from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from orders.models.base import Base


class RefundRequestStatus(StrEnum):
    """The statuses of a refund request: `requested` until Stripe answers, then the status of its refund.

    `failed` means that the refund failed, or that Stripe refused to make one (`RefundRequest.is_refused`).
    """

    REQUESTED = "requested"
    PENDING = RefundStatus.PENDING.value
    REQUIRES_ACTION = RefundStatus.REQUIRES_ACTION.value
    SUCCEEDED = RefundStatus.SUCCEEDED.value
    CANCELED = RefundStatus.CANCELED.value
    FAILED = RefundStatus.FAILED.value


FINAL = (RefundStatus.SUCCEEDED, RefundStatus.CANCELED, RefundStatus.FAILED)  # weakest first
NOT_REFUNDED = (RefundStatus.CANCELED, RefundStatus.FAILED)  # the shop has the money again


class Refund(Base):
    """A refund at Stripe, by Stripe's id. Without a refund request it was made in Stripe's dashboard.

    The presentment amount is what the customer's bank statement shows, if it is in another currency.
    """

    __tablename__ = "refunds"
    __table_args__ = (partial_index("ix_refunds_under_way", f"status NOT IN ({quoted(FINAL)})", "id"),)

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    payment_id: Mapped[str] = mapped_column(String(255))
    refund_request_id: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(64))
    status_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    reason: Mapped[str | None] = mapped_column(String(64))
    failure_reason: Mapped[str | None] = mapped_column(String(64))
    presentment_currency: Mapped[str | None] = mapped_column(String(3))
    presentment_amount: Mapped[int | None] = mapped_column(BigInteger())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime(), index=True)

    def record_status(self, status: str, failure_reason: str | None, at: datetime) -> bool:
        """Record the status that Stripe reported at an instant; return False if it is known or stale."""
        self.failure_reason = self.failure_reason or failure_reason
        if _sort_key(status, at) <= _sort_key(self.status, self.status_at or self.created_at):
            return False
        is_new = status != self.status
        self.status, self.status_at = status, at
        return is_new

    @property
    def counts_as_refunded(self) -> bool:
        """True if this money has left the shop or is about to."""
        return self.status not in NOT_REFUNDED


class RefundRequest(Base):
    """A request to refund, stored before Stripe is called. Its id is the idempotency key at Stripe.

    `idempotency_key` is the operator's, or derives from a decision. It is unique within the order.

    `lines` are `{sku, quantity, restock, unshipped}`: `unshipped` of the pieces had not shipped. With `restock`,
    all `quantity` pieces go to the stock. The worker sends the request at `next_attempt_at`, which is None once Stripe
    has answered. A request of the amount 0 only records pieces. Stripe never gets such a request.
    """

    __tablename__ = "refund_requests"
    __table_args__ = (UniqueConstraint("order_id", "idempotency_key"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    checkout_id: Mapped[str] = mapped_column(String(64))
    idempotency_key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    payment_id: Mapped[str] = mapped_column(String(255))
    refund_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    status: Mapped[str] = mapped_column(String(64))
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger())
    reason: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str | None] = mapped_column(Text())
    lines: Mapped[list[dict[str, Any]]] = mapped_column(Json())
    requested_by: Mapped[str] = mapped_column(String(128))
    error: Mapped[str | None] = mapped_column(Text())
    attempts: Mapped[int]
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime(), index=True)
    stock_returned_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())

    @property
    def is_unanswered(self) -> bool:
        """True until Stripe answers: until then, the refund may or may not exist at Stripe."""
        return self.status == RefundRequestStatus.REQUESTED

    @property
    def is_refused(self) -> bool:
        """True if Stripe answered and made no refund."""
        return self.status == RefundRequestStatus.FAILED and self.refund_id is None

    @property
    def counts_as_refunded(self) -> bool:
        """True if the pieces of this request are refunded or may be."""
        return self.status not in NOT_REFUNDED

    def link_refund(self, refund: Refund) -> bool:
        """Record Stripe's refund and its status, and end retries; return False if the request has another refund."""
        if self.refund_id not in (None, refund.id):
            return False
        self.refund_id, self.status, self.next_attempt_at, self.error = refund.id, refund.status, None, None
        return True

    def mark_refused(self, error: str) -> None:
        """Record that Stripe refused the request: no refund will be made."""
        self.status, self.next_attempt_at, self.error = RefundRequestStatus.FAILED, None, error


def can_follow(status: str, earlier: str) -> bool:
    """Return True if a refund with the status `earlier` can have `status` later."""
    return _phase(status) > _phase(earlier) or _phase(status) == _phase(earlier) == 0


def _phase(status: str) -> int:
    """Return 0 for an unknown status or one under way; for a final status, its place in `FINAL`, from 1."""
    return FINAL.index(RefundStatus(status)) + 1 if status in FINAL else 0


def _sort_key(status: str, at: datetime) -> tuple[int, datetime, int]:
    """Return a sort key: of several reported statuses, the one with the greatest key counts.

    A final status has a greater key than one under way. Between statuses under way, the later one has it.
    Stripe's times are whole seconds. Within one second, `requires_action` counts as later than `pending`.
    """
    known = list(RefundStatus)
    return _phase(status), at, known.index(RefundStatus(status)) if status in known else -1
