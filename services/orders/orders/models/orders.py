"""An order, and how its status follows from what is known of it.

Events come in any order, so an order keeps facts, each with the time of its event, and the strongest one is its
status. A repeated fact changes nothing; a weaker one that comes late is kept and changes no status:

    paid  >  payment_failed  >  payment_pending  >  canceled  >  expired  >  open

What became of the money and the goods afterwards stands beside it, derived from rows of their own (`sums.py`,
`disputes.py`, `reviews.py`, `shipments.py`).
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from events.clock import utcnow
from events.database.types import Json, UtcDateTime
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from orders.models.base import Base

if TYPE_CHECKING:
    from orders.models.money import Dispute, Payment, PaymentAttempt, Refund, RefundIntention
    from orders.models.operations import Review, Shipment

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

NONE, PARTIAL, FULL = "none", "partial", "full"
REFUNDED = (NONE, PARTIAL, FULL)
UNFULFILLED, FULFILLED = "unfulfilled", "fulfilled"
TAXED_BY = ("country", "state")  # of an address: what the books of a forgotten order's taxes need, and no house
FULFILLMENT_STATUSES = (UNFULFILLED, PARTIAL, FULFILLED)
PERSONAL = (
    "customer_email",
    "customer_email_key",
    "customer_name",
    "customer_phone",
    "shipping_name",
    "locale",
    "recovery_url",
)


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
    promotion_codes: Mapped[bool] = mapped_column(server_default=false())
    amount_paid: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    amount_refunded: Mapped[int] = mapped_column(BigInteger(), server_default="0")
    refund_status: Mapped[str] = mapped_column(String(16), server_default=NONE, index=True)
    dispute_status: Mapped[str] = mapped_column(String(16), server_default=NONE, index=True)
    fulfillment_status: Mapped[str] = mapped_column(String(16), server_default=UNFULFILLED)
    customer_phone: Mapped[str | None] = mapped_column(Text())
    shipping_name: Mapped[str | None] = mapped_column(Text())
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(Json())
    started_at: Mapped[datetime] = mapped_column(UtcDateTime())
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    expired_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    canceled_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime(), onupdate=utcnow)

    lines: Mapped[list["OrderLine"]] = relationship(order_by="OrderLine.position", lazy="selectin")
    sessions: Mapped[list["OrderSession"]] = relationship(order_by="OrderSession.session_id")
    payments: Mapped[list["Payment"]] = relationship(order_by="Payment.created_at, Payment.id")
    attempts: Mapped[list["PaymentAttempt"]] = relationship(order_by="PaymentAttempt.at, PaymentAttempt.id")
    refunds: Mapped[list["Refund"]] = relationship(order_by="Refund.created_at, Refund.id")
    intentions: Mapped[list["RefundIntention"]] = relationship(order_by="RefundIntention.id")
    disputes: Mapped[list["Dispute"]] = relationship(order_by="Dispute.opened_at, Dispute.id")
    reviews: Mapped[list["Review"]] = relationship(order_by="Review.opened_at, Review.reason, Review.subject")
    shipments: Mapped[list["Shipment"]] = relationship(order_by="Shipment.id")
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

    def confirm(self, at: datetime) -> bool:
        """Whether the order may be announced as paid now, which happens once."""
        if self.paid_at is None or self.needs_review or self.confirmed_at is not None:
            return False
        self.confirmed_at = at
        return True

    def meet_customer(self, session: dict[str, Any]) -> None:
        """What Stripe asked the customer for on its page; what the shop knew before stays. Nobody who is forgotten."""
        if self.erased_at is not None:
            return
        details = session.get("customer_details") or {}
        if (email := details.get("email")) and not self.customer_email:
            self.customer_email, self.customer_email_key = email, email.lower()
        self.customer_name = self.customer_name or details.get("name")
        self.customer_phone = self.customer_phone or details.get("phone")
        collected = session.get("collected_information") or session  # API versions before 2025-03: on the session
        shipping = collected.get("shipping_details") or {}
        self.shipping_name = self.shipping_name or shipping.get("name")
        self.shipping_address = self.shipping_address or shipping.get("address")

    def forget_customer(self, at: datetime) -> None:
        """Erase who she is; what was bought, agreed and paid stays, and so does where its taxes are owed."""
        self.erased_at = self.erased_at or at
        for name in PERSONAL:
            setattr(self, name, None)
        if self.shipping_address:
            self.shipping_address = {part: self.shipping_address.get(part) for part in TAXED_BY}

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
