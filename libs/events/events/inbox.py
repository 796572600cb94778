"""The inbox: every event that a service has seen, once. Kept in the service's own database, retried from there.

A row's life: `done` or `ignored` at once; or `waiting` (its cause has not arrived) or `retrying` (its handler
failed) until an attempt succeeds; `failed` after the last attempt; `discarded` by an operator. The payload is kept
while it may be needed and dropped with success.
"""

import random
import traceback
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, String, Text, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from events import database
from events.database import Json, UtcDateTime, metadata, skip_locked, utcnow
from events.envelope import Event

DONE, IGNORED, WAITING, RETRYING, FAILED, DISCARDED = (
    "done",
    "ignored",
    "waiting",
    "retrying",
    "failed",
    "discarded",
)
STATUSES = (DONE, IGNORED, WAITING, RETRYING, FAILED, DISCARDED)
PENDING = (WAITING, RETRYING)
CHANNEL = "inbox"  # says that something is due earlier than was known, or that consumers are paused or resumed

# A failed handler is most often a passing fault (a lock, a deploy); after seven hours a person has to look.
BACKOFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600, 6 * 3600))
# A missing cause is most often milliseconds late; Stripe's own retries end after three days.
PATIENCE = tuple(timedelta(seconds=s) for s in (1, 5, 30, 120, 600, 3600, 6 * 3600, 24 * 3600, 40 * 3600))
JITTER = 0.2  # so that what failed together is not tried together
KEPT = timedelta(days=35)  # longer than Stripe lists events (30 days): a backfill must meet its own traces


class Base(DeclarativeBase):
    metadata = metadata()


class InboxEvent(Base):
    """One event that this service has seen."""

    __tablename__ = "inbox"
    __table_args__ = (
        CheckConstraint("status IN ('done','ignored','waiting','retrying','failed','discarded')", name="status"),
        Index("ix_inbox_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        Index("ix_inbox_status_received_at", "status", "received_at"),
        Index("ix_inbox_correlation_id", "correlation_id"),
    )

    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    routing_key: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(64))
    correlation_id: Mapped[str | None] = mapped_column(String(255))
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
        """The event as it was received; only rows that are not finished still have it."""
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

    def finish(self, status: str, reason: str | None = None) -> None:
        """Handled, ignored or discarded: nothing more will be tried; the payload is dropped when it is handled."""
        self.status, self.finished_at, self.next_attempt_at = status, utcnow(), None
        if status in (DONE, IGNORED):
            self.body, self.headers, self.traceback, self.error = None, None, None, reason

    def put_off(self, status: str, error: BaseException) -> None:
        """Schedule the next attempt, or give up as `failed` when the schedule is through."""
        schedule = PATIENCE if status == WAITING else BACKOFF
        if status != self.status:
            self.attempts = 0  # what was spent on waiting is not taken from the retries
        self.error = f"{type(error).__name__}: {error}"
        self.traceback = None if status == WAITING else "".join(traceback.format_exception(error))
        if self.attempts >= len(schedule):
            self.status, self.next_attempt_at, self.finished_at = FAILED, None, utcnow()
        else:
            spread = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads load, guards nothing
            self.status, self.next_attempt_at = status, utcnow() + schedule[self.attempts] * spread
        self.attempts += 1


class InboxAudit(Base):
    """What an operator did to the inbox, and why."""

    __tablename__ = "inbox_audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime())
    actor: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(32))
    event_id: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str | None] = mapped_column(Text())


class ConsumerControl(Base):
    """One row: whether an operator has paused this service's consumers."""

    __tablename__ = "consumer_control"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    paused: Mapped[bool]


VERSIONS = Path(__file__).parent / "migrations" / "inbox"


def claim_new(session: Session, events: Sequence[Event]) -> set[str]:
    """Insert the events as done in one statement; the ids that were not seen before. The rest are repeats."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    now = utcnow()
    rows = {event.id: _row(event, DONE, received_at=now, finished_at=now) for event in events}
    statement = insert(InboxEvent).values(list(rows.values())).on_conflict_do_nothing()
    return set(session.scalars(statement.returning(InboxEvent.event_id)))


def mark_ignored(session: Session, event_ids: Sequence[str], reason: str) -> None:
    values = {"status": IGNORED, "error": reason}
    session.execute(update(InboxEvent).where(InboxEvent.event_id.in_(event_ids)).values(values))


def store_unhandled(session: Session, event: Event, status: str, error: BaseException) -> str:
    """Keep an event whose first attempt did not succeed; the status that it got ("seen" if it is there already)."""
    if session.get(InboxEvent, event.id) is not None:
        return "seen"
    row = InboxEvent(**_row(event, status, received_at=utcnow()), body=event.body)
    row.headers, row.attempts = dict(event.headers), 0
    row.put_off(status, error)
    session.add(row)
    session.flush()
    database.wake(session, CHANNEL)
    return row.status


def _row(event: Event, status: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": event.id,
        "routing_key": event.routing_key,
        "source": event.source,
        "correlation_id": event.correlation_id,
        "occurred_at": event.occurred_at,
        "status": status,
        "attempts": 1 if status == DONE else 0,
        **more,
    }


def wake(session: Session, correlation_ids: Iterable[str]) -> None:
    """What waits for these checkouts is due now."""
    database.wake(session, CHANNEL)
    session.execute(
        update(InboxEvent)
        .where(InboxEvent.status == WAITING, InboxEvent.correlation_id.in_(list(correlation_ids)))
        .values(next_attempt_at=utcnow())
    )


def claim_due(session: Session, now: datetime) -> InboxEvent | None:
    """The row that has been due longest, locked until the transaction ends; None when nothing is due."""
    statement = (
        select(InboxEvent)
        .where(InboxEvent.next_attempt_at <= now, InboxEvent.status.in_(PENDING))
        .order_by(InboxEvent.next_attempt_at)
        .limit(1)
    )
    return session.scalar(skip_locked(session, statement))


def outlook(session: Session) -> tuple[bool, datetime | None]:
    """Whether the consumers are paused, and when the next attempt is due; one query, answered by indexes."""
    paused = select(ConsumerControl.paused).where(ConsumerControl.id == 1).scalar_subquery()
    due = select(func.min(InboxEvent.next_attempt_at)).where(InboxEvent.next_attempt_at.is_not(None)).scalar_subquery()
    is_paused, due_at = session.execute(select(paused, due)).one()
    return bool(is_paused), due_at


def prune(session: Session, before: datetime) -> int:
    """Drop the traces of events handled before an instant; failed and pending rows stay until they are settled."""
    finished = (DONE, IGNORED, DISCARDED)
    statement = delete(InboxEvent).where(InboxEvent.status.in_(finished), InboxEvent.received_at < before)
    pruned: int = session.execute(statement).rowcount  # type: ignore[attr-defined]
    return pruned
