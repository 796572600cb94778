"""The outbox: events that a transaction promises to publish, committed with the change that they tell of."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Index, LargeBinary, String, delete, func, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from events import tracing
from events.batch import insert_later
from events.database import Json, UtcDateTime, metadata, skip_locked, utcnow, wake
from events.envelope import STRIPE, Event, own_event
from events.inbox import is_forgotten
from events.redaction import redacted

KEPT = timedelta(days=7)  # published rows: long enough to answer "did we say so?"
CHANNEL = "outbox"  # says that there is something to publish
CLAIM = 200  # the publisher's window: one pipelined round a claim
VERSIONS = Path(__file__).parent / "migrations" / "outbox"


class Base(DeclarativeBase):
    metadata = metadata()


class OutboxEvent(Base):
    """One event to publish; `published_at` is set once the broker has confirmed it."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_unpublished",
            "event_id",
            postgresql_where=text("published_at IS NULL"),
            sqlite_where=text("published_at IS NULL"),
        ),
        Index("ix_outbox_correlation_id", "correlation_id"),  # what was told of one checkout, to forget its customer
    )

    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    routing_key: Mapped[str] = mapped_column(String(255))
    source: Mapped[str] = mapped_column(String(64))
    correlation_id: Mapped[str | None] = mapped_column(String(255))
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime())
    headers: Mapped[dict[str, Any]] = mapped_column(Json())
    body: Mapped[bytes] = mapped_column(LargeBinary())
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime())

    def event(self) -> Event:
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
    """Promise an own event; its id. Raises marshmallow's `ValidationError` when `data` does not fit the catalogue."""
    causation_id = causation.id if causation else None
    return _promise(session, own_event(event_type, data, correlation_id=correlation_id, causation_id=causation_id))


def add_stripe(
    session: Session,
    stripe_type: str,
    obj: Mapping[str, Any],
    *,
    event_id: str,
    correlation_id: str,
    source: str,
) -> str:
    """Promise a Stripe event made from the object at Stripe, for one whose webhook never came.

    `event_id` must be the same whenever the same change is found again: that makes the repeat harmless. Sessions have
    theirs from `recovered_id`. Stripe still knows a customer whom we have forgotten: the event does not bring her back.
    The service's row of the checkout must be locked.
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
    if is_forgotten(session, correlation_id):
        body = redacted(STRIPE + stripe_type, body)
    return _promise(session, Event(event_id, STRIPE + stripe_type, source, now, body, correlation_id, headers))


def recovered_id(checkout_session: Mapping[str, Any], fact: str) -> str:
    """The id of a session's event made from the object, alike whoever finds it missing: checkout or orders.

    The payment status is part of it: `completed` is another change while unpaid than once it is paid.
    """
    return f"evt_recovered_{checkout_session['id']}_{fact}_{checkout_session['payment_status']}"


def _promise(session: Session, event: Event) -> str:
    insert_later(
        session,
        OutboxEvent,
        event_id=event.id,
        routing_key=event.routing_key,
        source=event.source,
        correlation_id=event.correlation_id,
        occurred_at=event.occurred_at,
        headers={**event.headers, **tracing.carrier()},
        body=event.body,
    )
    wake(session, CHANNEL)  # on PostgreSQL a trigger tells the other processes
    return event.id


def claim(session: Session) -> Sequence[OutboxEvent]:
    """The oldest unpublished rows, locked until the transaction ends."""
    statement = (
        select(OutboxEvent).where(OutboxEvent.published_at.is_(None)).order_by(OutboxEvent.event_id).limit(CLAIM)
    )
    return session.scalars(skip_locked(session, statement)).all()


def mark_published(session: Session, event_ids: Sequence[str]) -> None:
    """Exactly these are confirmed."""
    statement = update(OutboxEvent).where(OutboxEvent.event_id.in_(event_ids)).values(published_at=utcnow())
    session.execute(statement, execution_options={"synchronize_session": False})


def published_since(session: Session, since: datetime) -> int:
    """How many rows were published since an instant; `KEPT` limits how far back that can look."""
    return session.scalars(select(func.count()).where(OutboxEvent.published_at >= since)).one()


def republish(session: Session, since: datetime) -> int:
    """Promise again what was published since an instant; how many. Whoever knows an event already does nothing."""
    statement = update(OutboxEvent).where(OutboxEvent.published_at >= since).values(published_at=None)
    promised: int = session.execute(statement, execution_options={"synchronize_session": False}).rowcount  # type: ignore[attr-defined]
    wake(session, CHANNEL)
    return promised


def prune(session: Session, before: datetime) -> int:
    """Drop rows published before an instant."""
    pruned: int = session.execute(delete(OutboxEvent).where(OutboxEvent.published_at < before)).rowcount  # type: ignore[attr-defined]
    return pruned
