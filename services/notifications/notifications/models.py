"""The tables: the e-mails, one row for each checkout, addresses that unsubscribed, reminders, and requests to resend.

pending ──▶ sending ──▶ sent
   │  ◀────────┤                  the server is away or deferred the e-mail: the next attempt is scheduled
   │           ├──────▶ failed    the server refused the e-mail or deferred it for three days, or it cannot be written
   │           └──────▶ unknown   handed over twice without an answer: it may have arrived. An operator decides
   ├──▶ suppressed                not to be sent any more; `error` says why (suppression, reminders, erasure). An
   │                              erasure also suppresses an e-mail that is `sending`
   └──▶ collected                 sent within a digest: `digest_id` (digest.py)
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from events.database import transaction
from events.database.email_keys import email_key
from events.database.transaction import skip_locked
from events.database.types import Json, UtcDateTime, metadata, one_of, partial_index
from events.observability import tracing
from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from notifications.kinds import CheckoutOutcome


class EmailStatus(StrEnum):
    """The statuses of an e-mail. The module's diagram shows their order."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    COLLECTED = "collected"
    UNKNOWN = "unknown"


PENDING, SENDING, SENT, FAILED, SUPPRESSED, COLLECTED, UNKNOWN = (status.value for status in EmailStatus)

# A mail server is away for seconds (restart) or hours (outage); an attempt each hour costs it nothing.
RETRY_DELAYS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600))
MAX_ATTEMPTS = len(RETRY_DELAYS) + 72  # each hour for three more days; then a person has to look
CHANNEL = "emails"  # notified when an e-mail is due
MAX_HANDOVERS = 2  # without an answer; each one may have reached the customer, so a third copy needs a person
UNKNOWN_RETRY_DELAY = timedelta(minutes=10)  # a server that lost the answer can be back, and its queue is sent
CLAIM_LEASE = timedelta(minutes=2)  # longer than a run with its last e-mail; after it, its sender is taken for dead


class Base(DeclarativeBase):
    """The base of the service's tables."""

    metadata = metadata()


class CheckoutFacts(Base):
    """The facts about one checkout that decide which e-mails are sent. All handlers of the checkout lock this row.

    `outcome` can make e-mails stale. `purchased_at` is when money for the checkout was first reported, also money that
    is still on its way. `purchaser` is the customer's address as an e-mail key; null once the customer is erased.
    """

    __tablename__ = "checkouts"
    __table_args__ = (one_of("outcome", CheckoutOutcome),)

    checkout_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    purchaser: Mapped[str | None] = mapped_column(Text(), index=True)
    purchased_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def record_purchase(self, address: str | None, at: datetime) -> None:
        """Record who bought, unless that is known, and the earliest time. An erased customer's address is not added."""
        self.purchased_at = min(self.purchased_at or at, at)
        if self.erased_at is None:
            self.purchaser = self.purchaser or (email_key(address) if address else None)

    def record_outcome(self, outcome: str) -> bool:
        """Set the outcome and return True if it changed. Paid replaces canceled, and never the other way round."""
        if self.outcome in (CheckoutOutcome.PAID, outcome):
            return False
        self.outcome = outcome
        return True


class Email(Base):
    """One e-mail for one occasion. `subject_key` is what it is about: an order, a Stripe session, a refund.

    `checkout_id` is null for e-mails about no checkout: low stock and digests. A null `recipient` is the staff, whose
    address and language are configured, or an erased customer. `next_attempt_at` is when the e-mail is due; while it is
    `sending`, when its sender's lease ends. `handovers` counts the attempts after which the server may have the whole
    e-mail. `event_data` is the data of the event; a digest's is {items: [{kind, event_data}]}.
    """

    __tablename__ = "emails"
    __table_args__ = (
        one_of("status", EmailStatus),
        UniqueConstraint("checkout_id", "kind", "subject_key"),
        Index(  # the constraint above treats nulls as different
            "uq_emails_kind_subject_key",
            "kind",
            "subject_key",
            unique=True,
            postgresql_where=text("checkout_id IS NULL"),
            sqlite_where=text("checkout_id IS NULL"),
        ),
        Index("ix_emails_next_attempt_at", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        # Every list is sorted by `created_at` and `id`, and so is every index of a filter.
        Index("ix_emails_created_at_id", "created_at", "id"),
        Index("ix_emails_status_created_at", "status", "created_at", "id"),
        Index("ix_emails_kind_created_at", "kind", "created_at", "id"),
        Index("ix_emails_recipient_created_at", "recipient", "created_at", "id"),
        partial_index("ix_emails_digest_id", "digest_id IS NOT NULL", "digest_id", "created_at", "id"),
        partial_index("ix_emails_error", "error IS NOT NULL AND status <> 'suppressed'", "created_at", "id"),
        Index("ix_emails_resend_of", "resend_of"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    checkout_id: Mapped[str | None] = mapped_column(String(255), ForeignKey("checkouts.checkout_id"))
    subject_key: Mapped[str] = mapped_column(Text())
    recipient: Mapped[str | None] = mapped_column(Text())
    locale: Mapped[str | None] = mapped_column(Text())
    event_data: Mapped[dict[str, Any]] = mapped_column(Json())
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    handovers: Mapped[int] = mapped_column(default=0, server_default="0")
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    message_id: Mapped[str | None] = mapped_column(Text())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    error: Mapped[str | None] = mapped_column(Text())
    traceparent: Mapped[str | None] = mapped_column(String(64), default=tracing.traceparent)
    resend_of: Mapped[str | None] = mapped_column(String(64), ForeignKey("emails.id"))
    requested_by: Mapped[str | None] = mapped_column(String(128))
    digest_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("emails.id"))

    @property
    def may_be_handed_over(self) -> bool:
        """False if the e-mail may already have arrived `MAX_HANDOVERS` times."""
        return (self.handovers or 0) < MAX_HANDOVERS

    def begin_attempt(self, now: datetime) -> None:
        """Count an attempt and set `sending`. If the sender dies, the e-mail is due again at the end of the lease."""
        self.status, self.next_attempt_at = SENDING, now + CLAIM_LEASE
        self.attempts += 1

    def schedule_retry(self, now: datetime, reason: str) -> None:
        """Set `pending` again, due after a delay that grows with the attempts, and record why this one failed."""
        self.status, self.error = PENDING, reason
        self.next_attempt_at = now + RETRY_DELAYS[min(self.attempts, len(RETRY_DELAYS)) - 1]

    def record_unknown_outcome(self, now: datetime, reason: str) -> None:
        """Schedule one more attempt after a handover without an answer. After `MAX_HANDOVERS`, set `unknown`."""
        if self.may_be_handed_over:
            self.status, self.error, self.next_attempt_at = PENDING, reason, now + UNKNOWN_RETRY_DELAY
        else:
            self.finish(UNKNOWN, error=reason)

    def release_claim(self, now: datetime) -> None:
        """Make a claimed e-mail due again and take back its counted attempt: it was not tried."""
        self.status, self.next_attempt_at = PENDING, now
        self.attempts -= 1

    def finish(self, status: str, *, sent_at: datetime | None = None, error: str | None = None) -> None:
        """Set a status after which there are no more attempts."""
        self.status, self.sent_at, self.error, self.next_attempt_at = status, sent_at, error, None


class UnsubscribedAddress(Base):
    """One address that gets no promotional e-mails. The row outlives an erasure, because it has only a keyed hash."""

    __tablename__ = "unsubscribed_addresses"

    address_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    unsubscribed_at: Mapped[datetime] = mapped_column(UtcDateTime())


class Reminder(Base):
    """The last reminder to one address: its e-mail and time. The address is a keyed hash (unsubscribing.py)."""

    __tablename__ = "reminders"

    address_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    email_id: Mapped[str] = mapped_column(String(64), ForeignKey("emails.id"), index=True)
    reminded_at: Mapped[datetime] = mapped_column(UtcDateTime())


class ResendRequest(Base):
    """One request to resend, under its idempotency key: a repeat finds the e-mails that the first one added."""

    __tablename__ = "resend_requests"

    idempotency_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    result: Mapped[dict[str, Any]] = mapped_column(Json())
    requested_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime())


def lock_or_insert_checkout(session: Session, checkout_id: str) -> CheckoutFacts:
    """Return the checkout's row, locked until the transaction ends. Insert it if it is new."""
    return lock_or_insert_checkouts(session, [checkout_id])[checkout_id]


def lock_or_insert_checkouts(session: Session, checkout_ids: Collection[str]) -> Mapping[str, CheckoutFacts]:
    """Return the checkouts' rows by id, locked in the order of their ids. Insert the new ones."""
    known = transaction.lock_rows(session, CheckoutFacts, checkout_ids)
    if new := sorted(set(checkout_ids) - known.keys()):
        rows = [{"checkout_id": checkout_id} for checkout_id in new]
        session.execute(transaction.insert(session, CheckoutFacts.__table__).on_conflict_do_nothing(), rows)
    return transaction.lock_rows(session, CheckoutFacts, checkout_ids)


def subject_of(subject_key: str) -> str:
    """Return what a subject key is about: the key without a dispute's state (#…) and a resend's own id (/…)."""
    return subject_key.partition("/")[0].partition("#")[0]


def claim_due(session: Session, now: datetime, limit: int) -> Sequence[Email]:
    """Claim the e-mails that have been due longest, at most `limit`. Those that another sender locks are left out."""
    due = select(Email).where(Email.next_attempt_at <= now).order_by(Email.next_attempt_at).limit(limit)
    emails = session.scalars(skip_locked(session, due)).all()
    for email in emails:
        email.begin_attempt(now)
    return emails
