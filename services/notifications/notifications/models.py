"""The mails, and of each purchase the one fact that makes some of them pointless.

pending ─▶ sending ─▶ sent
   │  ◀──────┤                the server was away or said "later": put off
   │         └─────▶ failed   the server will never take it, or it cannot be written
   ├─▶ suppressed             overtaken: something made it pointless before it was sent; `error` says what
   └─▶ collected              a staff mail that went out within a digest: `digest_id`
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from events.database import transaction
from events.database.migrations import Chain
from events.database.transaction import skip_locked
from events.database.types import Json, UtcDateTime, metadata
from events.messaging.chains import INBOX
from events.observability import tracing
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from notifications.kinds import PAID

PENDING, SENDING, SENT, FAILED, SUPPRESSED, COLLECTED = STATUSES = (
    "pending",
    "sending",
    "sent",
    "failed",
    "suppressed",
    "collected",
)

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
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def settle(self, outcome: str) -> bool:
        """Paid beats canceled: the customer's payment may win over their giving up, never the other way round."""
        if self.outcome in (PAID, outcome):
            return False
        self.outcome = outcome
        return True


class Email(Base):
    """One mail for one occasion: `subject_key` says what it is about, an order, a Stripe session, a refund.

    `checkout_id` is null where there is no purchase: stock and digests. `recipient` null is the staff's address, as
    configured when it is sent; so is their language. `next_attempt_at` is when it is due; for a mail in `sending`,
    when its sender's lease ends. `context` is the event's data, of a digest its mails' kinds and contexts.
    """

    __tablename__ = "emails"
    __table_args__ = (
        CheckConstraint("status IN ('pending','sending','sent','failed','suppressed','collected')", name="status"),
        UniqueConstraint("checkout_id", "kind", "subject_key"),
        Index(  # the constraint above takes nulls for different
            "uq_emails_kind_subject_key",
            "kind",
            "subject_key",
            unique=True,
            postgresql_where=text("checkout_id IS NULL"),
            sqlite_where=text("checkout_id IS NULL"),
        ),
        Index("ix_emails_next_attempt_at", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        Index("ix_emails_status_id", "status", "id"),
        Index("ix_emails_recipient", "recipient"),
        Index("ix_emails_resend_of", "resend_of"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    checkout_id: Mapped[str | None] = mapped_column(String(255), ForeignKey("purchases.checkout_id"))
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
    traceparent: Mapped[str | None] = mapped_column(String(64), default=tracing.traceparent)
    resend_of: Mapped[str | None] = mapped_column(String(64), ForeignKey("emails.id"))
    requested_by: Mapped[str | None] = mapped_column(String(128))
    digest_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("emails.id"))

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
    return purchases(session, [checkout_id])[checkout_id]


def purchases(session: Session, checkout_ids: Collection[str]) -> Mapping[str, Purchase]:
    """The same of several, made where they are new."""
    known = transaction.lock_rows(session, Purchase, checkout_ids)
    if new := sorted(set(checkout_ids) - known.keys()):
        rows = [{"checkout_id": checkout_id} for checkout_id in new]
        session.execute(transaction.insert(session, Purchase.__table__).on_conflict_do_nothing(), rows)
    return transaction.lock_rows(session, Purchase, checkout_ids)


def subject_of(subject_key: str) -> str:
    """The refund, dispute or review itself: without a dispute's state (#…) and a resend's own id (/…)."""
    return subject_key.partition("/")[0].partition("#")[0]


def claim_due(session: Session, now: datetime, limit: int) -> Sequence[Email]:
    """Due mails that no other sender has in hand, leased."""
    due = select(Email).where(Email.next_attempt_at <= now).order_by(Email.next_attempt_at).limit(limit)
    emails = session.scalars(skip_locked(session, due)).all()
    for email in emails:
        email.lease(now)
    return emails


CHAINS = (INBOX, Chain("notifications", Base.metadata, Path(__file__).parent / "migrations" / "versions"))
