"""The inbox's tables: one row for every event that a service has received.

    received ──▶ done | ignored
        │
        ├──▶ waiting   its cause has not arrived  ──┐
        └──▶ retrying  its handler failed         ──┴──▶ done | ignored | failed ──▶ discarded (by an operator)

The payload is kept while a retry may need it and dropped with success. An event without a handler is ignored, but
another release may have one: so it keeps its payload for a week, in which an operator can retry it. The payload is
redacted (redaction.py) if the customer is erased, or if the event names no checkout, so that no erasure would find it.
"""

import random
import traceback
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, LargeBinary, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from events.clock import utcnow
from events.database.types import Json, UtcDateTime, metadata, one_of, partial_index
from events.messaging.event import MAX_ID_LENGTH, MAX_SOURCE_LENGTH, Event
from events.messaging.redaction import redacted


class InboxStatus(StrEnum):
    """The statuses of an inbox row. The module's docstring has their order."""

    DONE = "done"
    IGNORED = "ignored"
    WAITING = "waiting"
    RETRYING = "retrying"
    FAILED = "failed"
    DISCARDED = "discarded"


DONE, IGNORED, WAITING, RETRYING, FAILED, DISCARDED = (status.value for status in InboxStatus)
RETRIED_STATUSES = (WAITING, RETRYING)
UNFINISHED = (*RETRIED_STATUSES, FAILED)  # these rows still have their payload, so they can be retried

# A failed handler is most often a passing fault (a lock, a deployment). After seven hours a person has to look.
RETRY_DELAYS = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600, 6 * 3600))
# A missing cause is most often milliseconds late. Stripe's own retries end after three days.
WAITING_DELAYS = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 40 * 3600))
JITTER_SHARE = 0.2  # events that failed together must not be retried together
CLAIM_LEASE = timedelta(seconds=30)  # after a worker's death its claimed rows are due again this much later
GIVEN_BACK = "the database was away during an attempt, which does not count"
INTERRUPTED = "interrupted: an attempt began and has not ended; its worker may have stopped"


class Base(DeclarativeBase):
    """The base of the inbox's tables, which have their own migration chain."""

    metadata = metadata()


class InboxEvent(Base):
    """One event that this service has received.

    `error` and `traceback` are of the last attempt; an ignored event's `error` is the reason. `body` and `headers` are
    the payload, null once it is dropped.
    """

    __tablename__ = "inbox"
    __table_args__ = (
        one_of("status", InboxStatus),
        Index("ix_inbox_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        # Every handled event is in these, so they are narrow. PostgreSQL sorts the few rows of one instant itself.
        Index("ix_inbox_received_at", "received_at"),
        Index("ix_inbox_routing_key", "routing_key"),
        partial_index("ix_inbox_not_done", "status <> 'done'", "status", "received_at", "event_id"),
        partial_index("ix_inbox_error", "error IS NOT NULL AND status <> 'ignored'", "received_at", "event_id"),
        partial_index("ix_inbox_unhandled", "status = 'ignored' AND body IS NOT NULL", "received_at"),
        Index("ix_inbox_correlation_id", "correlation_id"),
    )

    event_id: Mapped[str] = mapped_column(String(MAX_ID_LENGTH), primary_key=True)
    routing_key: Mapped[str] = mapped_column(String(MAX_ID_LENGTH))
    source: Mapped[str] = mapped_column(String(MAX_SOURCE_LENGTH))
    correlation_id: Mapped[str | None] = mapped_column(String(MAX_ID_LENGTH))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime())
    received_at: Mapped[datetime] = mapped_column(UtcDateTime())
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    error: Mapped[str | None] = mapped_column(Text())
    traceback: Mapped[str | None] = mapped_column(Text())
    headers: Mapped[dict[str, Any] | None] = mapped_column(Json())
    body: Mapped[bytes | None] = mapped_column(LargeBinary())

    def event(self) -> Event:
        """Return the event as it was received. Raises `ValueError` once its payload has been dropped."""
        if self.body is None:
            raise ValueError(f"{self.event_id} is {self.status}: its payload has been dropped")
        return Event(
            id=self.event_id,
            routing_key=self.routing_key,
            source=self.source,
            occurred_at=self.occurred_at,
            body=self.body,
            correlation_id=self.correlation_id,
            headers=self.headers or {},
        )

    def begin_attempt(self) -> None:
        """Count an attempt before it starts, and schedule the next one in case the process dies.

        An interrupted event may only have shared a batch with the event that killed the worker. So it is due again
        soon, and is then tried alone. If that attempt is interrupted, too, the event follows the schedule of its
        status, gets one attempt more than the schedule has, and then becomes `failed`.
        """
        schedule = WAITING_DELAYS if self.status == WAITING else RETRY_DELAYS
        if self.is_interrupted and self.attempts > len(schedule) + 1:
            self.status, self.next_attempt_at, self.finished_at = FAILED, None, utcnow()
            return
        on_schedule = self.is_interrupted and self.attempts < len(schedule)
        self.next_attempt_at = utcnow() + (schedule[self.attempts] if on_schedule else CLAIM_LEASE)
        self.attempts += 1
        self.error = INTERRUPTED

    def give_back(self) -> None:
        """Take the attempt back and make the event due now: the database ended the attempt, not this process."""
        self.attempts -= 1
        self.error, self.next_attempt_at = GIVEN_BACK, utcnow()

    @property
    def is_interrupted(self) -> bool:
        """True while a worker retries this event, and afterwards if the worker stopped during the attempt."""
        return self.error == INTERRUPTED

    def finish(self, status: str, reason: str | None = None, *, keep_payload: bool = False) -> None:
        """Set a final status: no more attempts. A done or ignored event's payload is dropped, unless `keep_payload`."""
        self.status, self.finished_at, self.next_attempt_at = status, utcnow(), None
        if status in (DONE, IGNORED):
            self.traceback, self.error = None, reason
            if not keep_payload:
                self.body = self.headers = None

    def redact(self) -> None:
        """Remove the customer but keep what a retry needs. An error's text may quote the customer; its class cannot."""
        if self.body is not None:
            self.body = redacted(self.routing_key, self.body)
        if self.error is not None and not self.is_interrupted:
            self.error = f"{self.error.partition(':')[0]}: text removed with the customer's data"
        self.traceback = None

    def schedule_retry(self, status: str, error: BaseException) -> None:
        """Schedule the next attempt, or set `failed` at the end of the schedule. `attempts` includes the last attempt.

        `status` is waiting or retrying and selects the schedule. If the status changes, `attempts` is 1 again.
        The error's text is stored, and for retrying also its traceback.
        """
        schedule = WAITING_DELAYS if status == WAITING else RETRY_DELAYS
        if status != self.status:
            self.attempts = 1  # attempts spent on waiting are not taken from the retries
        self.error = f"{type(error).__name__}: {error}"
        self.traceback = None if status == WAITING else "".join(traceback.format_exception(error))
        if self.attempts > len(schedule):
            self.status, self.next_attempt_at, self.finished_at = FAILED, None, utcnow()
        else:
            spread = 1 + random.uniform(-JITTER_SHARE, JITTER_SHARE)  # noqa: S311 - spreads load, protects nothing
            self.status, self.next_attempt_at = status, utcnow() + schedule[self.attempts - 1] * spread


class InboxAuditEntry(Base):
    """An operator's action on an event, a dead letter or, without `event_id`, the consumers. `reason` is optional."""

    __tablename__ = "inbox_audit_entries"
    __table_args__ = (Index("ix_inbox_audit_entries_event_id_id", "event_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    acted_at: Mapped[datetime] = mapped_column(UtcDateTime())
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(32))
    event_id: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str | None] = mapped_column(Text())


class ConsumerControl(Base):
    """The switch of this service's consumers, in one row: `paused` by an operator or not."""

    __tablename__ = "consumer_controls"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    paused: Mapped[bool]


class ErasedCheckout(Base):
    """A checkout whose customer is erased. Later events about it are stored without the customer, however late."""

    __tablename__ = "erased_checkouts"

    checkout_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    erased_at: Mapped[datetime] = mapped_column(UtcDateTime())
