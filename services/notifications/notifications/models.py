"""The mails, and of each purchase the one fact that makes some of them pointless.

pending ─▶ sending ─▶ sent
   │  ◀──────┤                the server was away or said "later": put off
   │         └─────▶ failed   the server will never take it, or it cannot be written
   └─▶ suppressed             overtaken: the order was paid or canceled before this was sent
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from events.database import Json, UtcDateTime, insert_once, lock, metadata, skip_locked, utcnow, wake
from events.envelope import new_id
from events.migrations import INBOX, Chain
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

ORDER_CONFIRMED, PAYMENT_PENDING, PAYMENT_FAILED, ABANDONED_CART, STAFF_REVIEW = KINDS = (
    "order_confirmed",
    "payment_pending",
    "payment_failed",
    "abandoned_cart",
    "staff_review",
)
PENDING, SENDING, SENT, FAILED, SUPPRESSED = STATUSES = ("pending", "sending", "sent", "failed", "suppressed")
PAID, CANCELED = OUTCOMES = ("paid", "canceled")

# What a customer must no longer be told once a purchase has come to this.
OVERTAKEN: Mapping[str | None, Sequence[str]] = {
    PAID: (ABANDONED_CART, PAYMENT_PENDING, PAYMENT_FAILED),
    CANCELED: (ABANDONED_CART,),
}

# A mail server is away for seconds (restart) or hours (outage); hourly costs it nothing.
BACKOFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600))
LAST_ATTEMPT = len(BACKOFF) + 72  # hourly for three more days, then a person has to look
CHANNEL = "emails"  # says that a mail is due
LEASE = timedelta(minutes=2)  # a stint and its last mail are over before; after it, the sender is taken for dead


class Base(DeclarativeBase):
    metadata = metadata()


class Purchase(Base):
    """One checkout, as far as mails care. Its row is the lock that puts the handlers of one checkout in line."""

    __tablename__ = "purchases"
    __table_args__ = (CheckConstraint("outcome IN ('paid','canceled')", name="outcome"),)

    checkout_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    outcome: Mapped[str | None] = mapped_column(String(16))

    def settle(self, outcome: str) -> bool:
        """Paid beats canceled: the customer's payment may win over their giving up, never the other way round."""
        if self.outcome in (PAID, outcome):
            return False
        self.outcome = outcome
        return True


class Email(Base):
    """One mail for one occasion: `subject_key` says what it is about, an order or a Stripe session.

    `recipient` null is the staff's address, as configured when it is sent. `next_attempt_at` is when it is due; for
    a mail in `sending`, when its sender's lease ends. `context` is the event's data.
    """

    __tablename__ = "emails"
    __table_args__ = (
        CheckConstraint("status IN ('pending','sending','sent','failed','suppressed')", name="status"),
        UniqueConstraint("checkout_id", "kind", "subject_key"),
        Index("ix_emails_next_attempt_at", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        Index("ix_emails_status_id", "status", "id"),
        Index("ix_emails_recipient", "recipient"),
        Index("ix_emails_resend_of", "resend_of"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    checkout_id: Mapped[str] = mapped_column(String(255), ForeignKey("purchases.checkout_id"))
    subject_key: Mapped[str] = mapped_column(Text())
    recipient: Mapped[str | None] = mapped_column(Text())
    locale: Mapped[str | None] = mapped_column(Text())
    context: Mapped[dict[str, Any]] = mapped_column(Json())
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    message_id: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    error: Mapped[str | None] = mapped_column(Text())
    resend_of: Mapped[str | None] = mapped_column(String(64), ForeignKey("emails.id"))
    requested_by: Mapped[str | None] = mapped_column(String(128))

    def lease(self, now: datetime) -> None:
        """A sender takes it in hand; if it dies, the mail is due again when the lease ends."""
        self.status, self.next_attempt_at = SENDING, now + LEASE
        self.attempts += 1

    def put_off(self, now: datetime, reason: str) -> None:
        self.status, self.error = PENDING, reason
        self.next_attempt_at = now + BACKOFF[min(self.attempts, len(BACKOFF)) - 1]

    def release(self, now: datetime) -> None:
        """Given back untried."""
        self.status, self.next_attempt_at = PENDING, now
        self.attempts -= 1

    def finish(self, status: str, *, sent_at: datetime | None = None, error: str | None = None) -> None:
        self.status, self.sent_at, self.error, self.next_attempt_at = status, sent_at, error, None


def purchase(session: Session, checkout_id: str) -> Purchase:
    """The checkout's row, locked until the transaction ends."""
    insert_once(session, Purchase, checkout_id=checkout_id)
    return session.scalars(lock(session, select(Purchase).where(Purchase.checkout_id == checkout_id))).one()


def insert_email(session: Session, kind: str, about: Purchase, *, not_before: datetime, **values: Any) -> bool:
    """Unless there is one for this occasion already. It is suppressed at once where the purchase has overtaken it."""
    made = insert_once(
        session,
        Email,
        id=new_id("eml"),
        kind=kind,
        checkout_id=about.checkout_id,
        status=PENDING,
        attempts=0,
        next_attempt_at=not_before,
        created_at=utcnow(),
        **values,
    )
    suppress_overtaken(session, about)
    wake(session, CHANNEL)
    return made


def suppress_overtaken(session: Session, about: Purchase) -> None:
    overtaken = OVERTAKEN.get(about.outcome, ())
    session.execute(
        update(Email)
        .where(Email.checkout_id == about.checkout_id, Email.kind.in_(overtaken), Email.status == PENDING)
        .values(status=SUPPRESSED, next_attempt_at=None, error=f"the order is {about.outcome}")
    )


def claim_due(session: Session, now: datetime, limit: int) -> Sequence[Email]:
    """Due mails that no other sender has in hand, leased."""
    due = select(Email).where(Email.next_attempt_at <= now).order_by(Email.next_attempt_at).limit(limit)
    emails = session.scalars(skip_locked(session, due)).all()
    for email in emails:
        email.lease(now)
    return emails


CHAINS = (INBOX, Chain("notifications", Base.metadata, Path(__file__).parent / "migrations" / "versions"))
