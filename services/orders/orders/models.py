"""An order and its facts. What happened is recorded once; the status follows from it, whatever the order of arrival."""

import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from events.database import UtcDateTime, metadata, utcnow
from events.envelope import new_id
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
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # no I, L, O, U: read aloud without mistakes


Amount = Annotated[int, mapped_column(BigInteger())]  # IDR and VND reach ten digits


class Base(DeclarativeBase):
    metadata = metadata()


def new_number() -> str:
    """An order's number as customers quote it: 40 random bits, so that it tells nothing of the shop's turnover."""
    return "CL-" + "".join(secrets.choice(CROCKFORD) for _ in range(8))


class Order(Base):
    """One checkout's order. Amounts in minor units; a fact (`…_at`) is set once, by whoever tells it first."""

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="status"),
        Index("ix_orders_created_at_id", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), unique=True)
    checkout_id: Mapped[str] = mapped_column(String(255), unique=True)
    session_id: Mapped[str] = mapped_column(String(255))  # the newest of its sessions
    payment_intent: Mapped[str | None] = mapped_column(String(255), index=True)
    livemode: Mapped[bool]
    currency: Mapped[str] = mapped_column(String(3))
    amount_subtotal: Mapped[Amount]
    amount_discount: Mapped[Amount]
    amount_shipping: Mapped[Amount]
    amount_total: Mapped[Amount]
    customer_email: Mapped[str | None] = mapped_column(String(320), index=True)
    customer_name: Mapped[str | None] = mapped_column(String(255))
    locale: Mapped[str | None] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16), default=OPEN, index=True)  # `derived`, kept for searching
    needs_review: Mapped[bool] = mapped_column(default=False, index=True)
    review_reason: Mapped[str | None] = mapped_column(String(32))
    review_detail: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime())
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.position")
    payments: Mapped[list["Payment"]] = relationship(order_by="Payment.recorded_at")
    attempts: Mapped[list["PaymentAttempt"]] = relationship(order_by="PaymentAttempt.at")
    timeline: Mapped[list["TimelineEntry"]] = relationship(order_by="TimelineEntry.at, TimelineEntry.id")

    @classmethod
    def opened(cls, started: dict[str, Any], at: datetime) -> "Order":
        """The order of a `checkout.session.started`, its snapshot taken over."""
        copied = ("checkout_id", "session_id", "livemode", "currency", "customer_email", "locale")
        amounts = ("amount_subtotal", "amount_discount", "amount_shipping", "amount_total")
        order = cls(id=new_id("ord"), number=new_number(), status=OPEN, needs_review=False, created_at=at)
        for name in (*copied, *amounts):
            setattr(order, name, started[name])
        order.updated_at = utcnow()
        order.lines = [OrderLine(position=at, **line) for at, line in enumerate(started["lines"])]
        return order

    def learn(self, fact: str, at: datetime) -> bool:
        """Record a fact (`paid_at`, …) and derive the status; False when it was known. Paid beats all the rest."""
        if getattr(self, fact) is not None:
            return False
        setattr(self, fact, at)
        self.status = self.derived
        self.updated_at = utcnow()
        return True

    @property
    def derived(self) -> str:
        for fact, status in (
            (self.paid_at, PAID),
            (self.failed_at, FAILED),
            (self.pending_at, PENDING),
            (self.canceled_at, CANCELED),
            (self.expired_at, EXPIRED),
        ):
            if fact is not None:
                return status
        return OPEN

    def open_review(self, reason: str, detail: str) -> bool:
        """A person has to decide; False when that is known already (the first reason stands)."""
        if self.needs_review:
            return False
        self.needs_review, self.review_reason, self.review_detail = True, reason, detail
        self.updated_at = utcnow()
        return True

    def snapshot(self, at: datetime) -> dict[str, Any]:
        """The order as its events tell of it (catalogue: OrderSnapshot)."""
        names = (
            "number checkout_id session_id payment_intent currency amount_subtotal amount_discount amount_shipping"
            " amount_total customer_email customer_name locale"
        )
        lines = [
            {name: getattr(line, name) for name in ("sku", "name", "quantity", "unit_amount", "amount_total")}
            for line in self.lines
        ]
        return {name: getattr(self, name) for name in names.split()} | {
            "order_id": self.id,
            "lines": lines,
            "occurred_at": at,
        }


class OrderLine(Base):
    __tablename__ = "order_lines"

    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sku: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    quantity: Mapped[int]
    unit_amount: Mapped[Amount]
    amount_total: Mapped[Amount]


class OrderSession(Base):
    """Every Stripe session of an order: a recovered cart has a new session for its old order."""

    __tablename__ = "order_sessions"

    session_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)


class Payment(Base):
    """Money that Stripe took: one row per payment intent, or per session where nothing was to pay."""

    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[Amount]
    currency: Mapped[str] = mapped_column(String(3))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime())


class PaymentAttempt(Base):
    """A payment that was declined; the customer may try again in the same session."""

    __tablename__ = "payment_attempts"

    id: Mapped[str] = mapped_column(String(255), primary_key=True)  # the declined charge
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime())
    code: Mapped[str | None] = mapped_column(String(64))


class TimelineEntry(Base):
    """What happened to an order, in words."""

    __tablename__ = "timeline"
    __table_args__ = (UniqueConstraint("order_id", "event_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("orders.id"))
    event_id: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime())
    text: Mapped[str] = mapped_column(Text())


CHAINS = (INBOX, OUTBOX, Chain("orders", Base.metadata, Path(__file__).parent / "migrations" / "versions"))
