"""The orders' tables, and how an order's status follows from what is known of it.

Events come in any order, so an order keeps facts, each with the time of its event, and the strongest one is its
status. A repeated fact changes nothing; a weaker one that comes late is kept and changes no status:

    paid  >  payment_failed  >  payment_pending  >  canceled  >  expired  >  open
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from events.catalogue import REVIEW_REASONS
from events.database import UtcDateTime, metadata, utcnow
from events.migrations import INBOX, OUTBOX, Chain
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

OPEN, PENDING, PAID, FAILED, EXPIRED, CANCELED = (
    "open",
    "payment_pending",
    "paid",
    "payment_failed",
    "expired",
    "canceled",
)
STATUSES = (OPEN, PENDING, PAID, FAILED, EXPIRED, CANCELED)
STRONGEST_FIRST = (
    ("paid_at", PAID),
    ("failed_at", FAILED),
    ("pending_at", PENDING),
    ("canceled_at", CANCELED),
    ("expired_at", EXPIRED),
)

SUCCEEDED = "succeeded"


class Base(DeclarativeBase):
    metadata = metadata()


class Order(Base):
    """One checkout and what became of it. Amounts are what the customer agreed to, taxes that Stripe adds aside."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(
            "status IN ('open','payment_pending','paid','payment_failed','expired','canceled')", name="status"
        ),
        CheckConstraint("needs_review = (review_reason IS NOT NULL)", name="review"),
        Index("ix_orders_status", "status"),
        Index("ix_orders_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)
    checkout_id: Mapped[str] = mapped_column(String(64), unique=True)
    session_id: Mapped[str] = mapped_column(String(255), unique=True)
    payment_intent: Mapped[str | None] = mapped_column(String(255), index=True)
    livemode: Mapped[bool]
    currency: Mapped[str] = mapped_column(String(3))
    amount_subtotal: Mapped[int] = mapped_column(BigInteger())
    amount_discount: Mapped[int] = mapped_column(BigInteger())
    amount_shipping: Mapped[int] = mapped_column(BigInteger())
    amount_total: Mapped[int] = mapped_column(BigInteger())
    customer_email: Mapped[str | None] = mapped_column(String(320))
    customer_email_key: Mapped[str | None] = mapped_column(String(320), index=True)
    customer_name: Mapped[str | None] = mapped_column(Text())
    locale: Mapped[str | None] = mapped_column(String(16))
    recovery_url: Mapped[str | None] = mapped_column(Text())
    status: Mapped[str] = mapped_column(String(16))
    needs_review: Mapped[bool]
    review_reason: Mapped[str | None] = mapped_column(String(32))
    review_detail: Mapped[str | None] = mapped_column(Text())
    started_at: Mapped[datetime] = mapped_column(UtcDateTime())
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime(), onupdate=utcnow)

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.position", lazy="selectin")
    sessions: Mapped[list["OrderSession"]] = relationship(order_by="OrderSession.session_id")
    payments: Mapped[list["Payment"]] = relationship(order_by="Payment.created_at, Payment.id")
    attempts: Mapped[list["PaymentAttempt"]] = relationship(order_by="PaymentAttempt.at, PaymentAttempt.id")
    timeline: Mapped[list["TimelineEntry"]] = relationship(order_by="TimelineEntry.at, TimelineEntry.id")

    def pay(self, at: datetime) -> bool:
        return self._learn("paid_at", at)

    def await_payment(self, at: datetime) -> bool:
        """The customer is through; a delayed method will tell in days whether the money comes."""
        return self._learn("pending_at", at)

    def fail(self, at: datetime) -> bool:
        """The delayed method failed. A declined card is none of this: the customer may try again."""
        return self._learn("failed_at", at)

    def expire(self, at: datetime) -> bool:
        return self._learn("expired_at", at)

    def cancel(self, at: datetime) -> bool:
        return self._learn("canceled_at", at)

    def open_review(self, reason: str, detail: str) -> bool:
        """A person has to decide. Of several reasons the order shows the gravest, the timeline all."""
        if self.review_reason is None or REVIEW_REASONS.index(reason) < REVIEW_REASONS.index(self.review_reason):
            self.needs_review, self.review_reason, self.review_detail = True, reason, detail
            return True
        return False

    def meet_customer(self, email: str | None, name: str | None) -> None:
        """What Stripe asked the customer for; what the shop knew before stays."""
        if email and not self.customer_email:
            self.customer_email, self.customer_email_key = email, email.lower()
        self.customer_name = self.customer_name or name

    def _learn(self, fact: str, at: datetime) -> bool:
        """Keep a fact; True if it is a new one and changed the status."""
        if getattr(self, fact) is not None:
            return False
        setattr(self, fact, at)
        before, self.status = self.status, self._strongest()
        return self.status != before

    def _strongest(self) -> str:
        return next((status for fact, status in STRONGEST_FIRST if getattr(self, fact) is not None), OPEN)


class OrderLine(Base):
    """One line of the cart, at `position`."""

    __tablename__ = "order_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text())
    quantity: Mapped[int]
    unit_amount: Mapped[int] = mapped_column(BigInteger())
    amount_total: Mapped[int] = mapped_column(BigInteger())


class OrderSession(Base):
    """A Stripe session of an order; a cart recovered through Stripe's link gets another one."""

    __tablename__ = "order_sessions"

    session_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)


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
        return self._become("failed", unless=(SUCCEEDED, "failed"))

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


class TimelineEntry(Base):
    """What happened to an order, for people to read."""

    __tablename__ = "timeline"
    __table_args__ = (UniqueConstraint("order_id", "event_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime())
    kind: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text())
    event_id: Mapped[str | None] = mapped_column(String(255))


CHAINS: Sequence[Chain] = (
    INBOX,
    OUTBOX,
    Chain("orders", Base.metadata, Path(__file__).parent / "migrations" / "versions"),
)
