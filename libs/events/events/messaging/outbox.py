"""The outbox: events to publish, committed in the same transaction as the change that they report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Index, LargeBinary, Select, String, delete, func, or_, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from events.clock import utcnow
from events.database.chunks import change_in_chunks
from events.database.engine import Database
from events.database.notify import notify_after_commit
from events.database.transaction import defer_insert, for_update, skip_locked
from events.database.types import Json, UtcDateTime, metadata, partial_index
from events.messaging.erased_checkouts import is_erased
from events.messaging.event import STRIPE, Event, own_event
from events.messaging.pika_connection import encode
from events.messaging.redaction import redacted
from events.observability import tracing

RETENTION = timedelta(days=7)  # published rows: long enough to answer whether an event was published
CHANNEL = "outbox"  # notified when there is something to publish
CLAIM_LEASE = timedelta(seconds=10)  # a round ends within 4 s; its unconfirmed rows wait for the rest of the lease
CLAIM_BATCH_SIZE = 200  # the publisher's window: one pipelined round per claim


class Base(DeclarativeBase):
    """The base of the outbox's table, which has its own migration chain."""

    metadata = metadata()


class OutboxEvent(Base):
    """One event to publish; `published_at` is set once the broker has confirmed it.

    Until `claimed_until`, only the relay that claimed the row publishes it.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        partial_index("ix_outbox_unpublished", "published_at IS NULL", "event_id"),
        Index("ix_outbox_correlation_id", "correlation_id"),  # erasure reads one checkout's rows
        partial_index("ix_outbox_published_at", "published_at IS NOT NULL", "published_at"),  # to prune or republish
    )

    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    routing_key: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(64))
    correlation_id: Mapped[str | None] = mapped_column(String(255))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime())
    headers: Mapped[dict[str, Any]] = mapped_column(Json())
    body: Mapped[bytes] = mapped_column(LargeBinary())
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime())
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def event(self) -> Event:
        """Return the event to publish."""
        return Event(
            id=self.event_id,
            routing_key=self.routing_key,
            source=self.source,
            occurred_at=self.occurred_at,
            body=self.body,
            correlation_id=self.correlation_id,
            headers=self.headers,
        )


def add(
    session: Session,
    event_type: str,
    data: Mapping[str, Any],
    *,
    correlation_id: str,
    causation: Event | None = None,
) -> str:
    """Add an own event to the outbox and return its id. The row is written at the end of the transaction.

    Raises marshmallow's `ValidationError` when `data` does not match the event's contract, and `UnpublishableError`
    when AMQP cannot carry the event.
    """
    causation_id = causation.id if causation else None
    return _add(session, own_event(event_type, data, correlation_id=correlation_id, causation_id=causation_id))


def add_recovered_stripe_event(
    session: Session,
    stripe_type: str,
    obj: Mapping[str, Any],
    *,
    event_id: str,
    correlation_id: str,
    source: str,
) -> str:
    """Add a Stripe event made from the object at Stripe, for a change whose webhook has not come; return its id.

    `event_id` must be the same whenever the same change is found again, which makes a repetition harmless; sessions use
    `recovered_event_id`. The event is redacted if the customer is erased, although Stripe still knows the customer.
    The service's row of the checkout must be locked. Raises `UnpublishableError` when AMQP cannot carry the event.
    """
    now = utcnow()
    document = {
        "id": event_id,
        "object": "event",
        "type": stripe_type,
        "created": int(now.timestamp()),
        "livemode": bool(obj.get("livemode")),
        "data": {"object": dict(obj)},
    }
    headers = {"livemode": document["livemode"]}
    body = orjson.dumps(document, default=str)  # the SDK's Decimals, which no handler reads
    if is_erased(session, correlation_id):
        body = redacted(STRIPE + stripe_type, body)
    return _add(session, Event(event_id, STRIPE + stripe_type, source, now, body, correlation_id, headers))


def recovered_event_id(checkout_session: Mapping[str, Any], fact: str) -> str:
    """Return the id of a recovered session event: the same one in checkout and in orders.

    It includes the payment status: a session that is completed unpaid, and paid later, has changed twice.
    """
    return f"evt_recovered_{checkout_session['id']}_{fact}_{checkout_session['payment_status']}"


def _add(session: Session, event: Event) -> str:
    """Add an event. Raises `UnpublishableError` if AMQP cannot carry it: such a row would block the relay."""
    event = replace(event, headers={**event.headers, **tracing.carrier()})
    encode(event)
    defer_insert(
        session,
        OutboxEvent,
        event_id=event.id,
        routing_key=event.routing_key,
        source=event.source,
        correlation_id=event.correlation_id,
        occurred_at=event.occurred_at,
        headers=event.headers,
        body=event.body,
    )
    notify_after_commit(session, CHANNEL)
    return event.id


def claim(session: Session, *, newest_first: bool = False) -> Sequence[OutboxEvent]:
    """Claim the oldest unpublished rows, or the newest, for `CLAIM_LEASE` and return them. Commit before publishing."""
    now = utcnow()
    free = OutboxEvent.published_at.is_(None), or_(OutboxEvent.claimed_until.is_(None), OutboxEvent.claimed_until < now)
    order = OutboxEvent.event_id.desc() if newest_first else OutboxEvent.event_id
    statement = select(OutboxEvent).where(*free).order_by(order).limit(CLAIM_BATCH_SIZE)
    rows = session.scalars(skip_locked(session, statement)).all()
    if rows:
        claimed = update(OutboxEvent).where(OutboxEvent.event_id.in_([row.event_id for row in rows]))
        values = {"claimed_until": now + CLAIM_LEASE}
        session.execute(claimed.values(values), execution_options={"synchronize_session": False})
    return rows


def mark_published(session: Session, event_ids: Sequence[str]) -> None:
    """Mark exactly these rows as confirmed by the broker."""
    statement = update(OutboxEvent).where(OutboxEvent.event_id.in_(event_ids)).values(published_at=utcnow())
    session.execute(statement, execution_options={"synchronize_session": False})


def published_since(session: Session, since: datetime) -> int:
    """Count the rows published since an instant, at most those of `RETENTION`: older rows have been deleted."""
    return session.scalars(select(func.count()).where(OutboxEvent.published_at >= since)).one()


def republish(database: Database, since: datetime) -> int:
    """Mark rows published since an instant as unpublished, so that the relay publishes them again; return their number.

    Consumers ignore the duplicates. The relay already publishes the first rows while later ones are marked. So rows
    published after the start of this call are left out.
    """
    published = _published(OutboxEvent.published_at >= since, OutboxEvent.published_at < utcnow())

    def mark_unpublished(session: Session, event_ids: Sequence[str]) -> None:
        statement = update(OutboxEvent).where(OutboxEvent.event_id.in_(event_ids))
        session.execute(
            statement.values(published_at=None, claimed_until=None), execution_options={"synchronize_session": False}
        )
        notify_after_commit(session, CHANNEL)

    return change_in_chunks(database, published, mark_unpublished, lock=for_update)


def prune(database: Database, before: datetime) -> int:
    """Delete rows published before an instant and return their number."""

    def delete_rows(session: Session, event_ids: Sequence[str]) -> None:
        session.execute(delete(OutboxEvent).where(OutboxEvent.event_id.in_(event_ids)))

    return change_in_chunks(database, _published(OutboxEvent.published_at < before), delete_rows)


def _published(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(OutboxEvent.event_id).where(*conditions).order_by(OutboxEvent.published_at)
