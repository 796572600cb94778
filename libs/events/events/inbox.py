"""The inbox: every event that a service has seen, once. Kept in the service's own database, retried from there.

A row's life: `done` or `ignored` at once; or `waiting` (its cause has not arrived) or `retrying` (its handler
failed) until an attempt succeeds; `failed` after the last attempt; `discarded` by an operator. The payload is kept
while it may be needed and dropped with success; without the person it is about (redaction.py), where that customer is
forgotten, or where no checkout is named by which she could be forgotten later.
"""

import random
import traceback
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, Select, String, Text, delete, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, load_only, mapped_column

from events import database
from events.batch import insert
from events.database import Json, UtcDateTime, lock, metadata, skip_locked, utcnow
from events.envelope import Event
from events.redaction import redacted

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
BATCH = 50  # rows a worker claims at once: enough to share a transaction, few enough to be tried one by one
LEASE = timedelta(seconds=30)  # until what a dead worker had claimed is due again
# What a row says while a worker has it in hand, and after, should the worker die with it.
INTERRUPTED = "interrupted: the worker ended while it had this event in hand"
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

    def take(self) -> None:
        """Count an attempt before it is made, and leave what is true should its process die: due again, or `failed`.

        What was interrupted may have been a neighbour of what killed the worker, so it is due soon, and then tried
        alone. If that is interrupted too, it follows the schedule of a failing event, and has one attempt more.
        """
        schedule = PATIENCE if self.status == WAITING else BACKOFF
        if self.interrupted and self.attempts > len(schedule) + 1:
            self.status, self.next_attempt_at, self.finished_at = FAILED, None, utcnow()
            return
        follows = self.interrupted and self.attempts < len(schedule)
        self.next_attempt_at = utcnow() + (schedule[self.attempts] if follows else LEASE)
        self.attempts += 1
        self.error = INTERRUPTED

    @property
    def interrupted(self) -> bool:
        return self.error == INTERRUPTED

    def finish(self, status: str, reason: str | None = None) -> None:
        """Handled, ignored or discarded: nothing more will be tried; the payload is dropped when it is handled."""
        self.status, self.finished_at, self.next_attempt_at = status, utcnow(), None
        if status in (DONE, IGNORED):
            self.body, self.headers, self.traceback, self.error = None, None, None, reason

    def redact(self) -> None:
        """Keep what a retry needs, without the customer. What an error says may quote her; its class does not."""
        if self.body is not None:
            self.body = redacted(self.routing_key, self.body)
        if self.error is not None and not self.interrupted:
            self.error = f"{self.error.partition(':')[0]}: told of a forgotten customer"
        self.traceback = None

    def put_off(self, status: str, error: BaseException) -> None:
        """After a counted attempt: schedule the next one, or give up as `failed` when the schedule is through."""
        schedule = PATIENCE if status == WAITING else BACKOFF
        if status != self.status:
            self.attempts = 1  # what was spent on waiting is not taken from the retries
        self.error = f"{type(error).__name__}: {error}"
        self.traceback = None if status == WAITING else "".join(traceback.format_exception(error))
        if self.attempts > len(schedule):
            self.status, self.next_attempt_at, self.finished_at = FAILED, None, utcnow()
        else:
            spread = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - spreads load, guards nothing
            self.status, self.next_attempt_at = status, utcnow() + schedule[self.attempts - 1] * spread


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


class ForgottenCheckout(Base):
    """A checkout whose customer is forgotten: what is told of it later is kept without her, however late it comes."""

    __tablename__ = "forgotten"

    checkout_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    forgotten_at: Mapped[datetime] = mapped_column(UtcDateTime())


VERSIONS = Path(__file__).parent / "migrations" / "inbox"


def claim_new(session: Session, events: Sequence[Event]) -> set[str]:
    """Insert the events as done in one statement; the ids that were not seen before. The rest are repeats."""
    table, now = InboxEvent.__table__, utcnow()
    rows = {event.id: _row(event, DONE, received_at=now, finished_at=now) for event in events}
    statement = insert(session, table).on_conflict_do_nothing().returning(table.c.event_id)
    return set(session.scalars(statement, [rows[event_id] for event_id in sorted(rows)]))


def unclaim(session: Session, event: Event) -> None:
    """Take back what `claim_new` inserted in this transaction."""
    session.execute(delete(InboxEvent).where(InboxEvent.event_id == event.id))


def mark_ignored(session: Session, event_ids: Sequence[str], reason: str) -> None:
    values = {"status": IGNORED, "error": reason}
    session.execute(update(InboxEvent).where(InboxEvent.event_id.in_(event_ids)).values(values))


def store_unhandled(session: Session, event: Event, status: str, error: BaseException) -> str:
    """Keep an event whose first attempt did not succeed; the status that it got ("seen" if it is there already)."""
    if session.get(InboxEvent, event.id) is not None:
        return "seen"
    row = InboxEvent(**_row(event, status, received_at=utcnow()), body=event.body)
    row.headers, row.attempts = dict(event.headers), 1
    row.put_off(status, error)
    if event.correlation_id is None:
        row.body = redacted(event.routing_key, event.body)
    else:
        serialize_forgetting(session, event.correlation_id)
        if is_forgotten(session, event.correlation_id):
            row.redact()
    session.add(row)
    session.flush()
    database.wake(session, CHANNEL)
    return row.status


def is_forgotten(session: Session, checkout_id: str) -> bool:
    """Whether this checkout's customer is. Ask under a lock that whoever forgets her needs too."""
    return session.get(ForgottenCheckout, checkout_id) is not None


def serialize_forgetting(session: Session, checkout_id: str) -> None:
    """Whoever stores what may bear the customer and whoever forgets her take turns. SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"forget/{checkout_id}", 0))))


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
    """What waits for these checkouts is due now. Call it last: retries too lock the inbox after all else."""
    database.wake(session, CHANNEL)
    waiting = select(InboxEvent.event_id).where(
        InboxEvent.status == WAITING, InboxEvent.correlation_id.in_(list(correlation_ids))
    )
    locked = lock(session, waiting.order_by(InboxEvent.event_id))
    session.execute(
        update(InboxEvent).where(InboxEvent.event_id.in_(locked)).values(next_attempt_at=utcnow()),
        execution_options={"synchronize_session": False},
    )


def claim_due(session: Session, now: datetime) -> Sequence[InboxEvent]:
    """Take the rows that have been due longest; commit before they are tried. Their payload is not loaded.

    Only what waits or is retried has a `next_attempt_at`. To ask for the status too would let PostgreSQL, before it has
    analyzed a sudden backlog, choose the status's index and sort all of it for each claim.
    """
    columns = load_only(InboxEvent.event_id, InboxEvent.status, InboxEvent.attempts, InboxEvent.error)
    statement = select(InboxEvent).where(InboxEvent.next_attempt_at <= now).order_by(InboxEvent.next_attempt_at)
    due = session.scalars(skip_locked(session, statement.options(columns).limit(BATCH))).all()
    taken = [row for row in due if not row.interrupted] or due[:1]
    for row in taken:
        row.take()
    return taken


def read(session: Session, taken: Sequence[InboxEvent]) -> Sequence[InboxEvent]:
    """The taken rows, whole but not locked; without those that were settled since."""
    return session.scalars(_pending(taken)).all()


def hold(session: Session, taken: Sequence[InboxEvent]) -> Sequence[InboxEvent]:
    """Those of the taken rows that nobody has touched since, whole, and locked until the transaction ends.

    It waits for locks: another worker's claim that came a moment late locked these rows too before it let them be.
    """
    attempts = {row.event_id: row.attempts for row in taken}
    rows = session.scalars(lock(session, _pending(taken)), execution_options={"populate_existing": True}).all()
    kept = [row for row in rows if row.interrupted and row.attempts == attempts[row.event_id]]
    return sorted(kept, key=lambda row: (row.occurred_at, row.event_id))


def _pending(taken: Sequence[InboxEvent]) -> Select[Any]:
    """In the order of their ids, in which everybody locks them."""
    ids = [row.event_id for row in taken]
    statement = select(InboxEvent).where(InboxEvent.event_id.in_(ids), InboxEvent.status.in_(PENDING))
    return statement.order_by(InboxEvent.event_id)


def mark_done(session: Session, event_ids: Sequence[str]) -> None:
    """Handled by a retry: all in one statement, and their payload dropped."""
    dropped = dict.fromkeys(("next_attempt_at", "body", "headers", "traceback", "error"))
    statement = update(InboxEvent).where(InboxEvent.event_id.in_(event_ids))
    statement = statement.values(status=DONE, finished_at=utcnow(), **dropped)
    session.execute(statement, execution_options={"synchronize_session": False})


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
