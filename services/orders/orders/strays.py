"""Refunds and disputes of a payment that we do not know yet.

Stripe puts no metadata on disputes, nor on refunds made in its dashboard: they are ours if their payment is. Such an
event may overtake the payment's own; and on a shared account most of them are none of ours. So it counts as ignored,
and is kept: should its payment turn up, it goes back into the inbox.
"""

from collections.abc import Collection
from datetime import timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.database.notify import wake_after_commit
from events.database.transaction import insert_once
from events.messaging import inbox, inbox_models
from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.messaging.redaction import redacted
from sqlalchemy import String, column, delete, func, select, update, values
from sqlalchemy.orm import Session

from orders.models import Payment, Stray

KEPT = timedelta(days=35)  # as long as the inbox keeps its row


def is_stray(session: Session, event: Event, payment_id: str) -> bool:
    """Keep the event, unless the payment is known."""
    serialize(session, [payment_id])
    if session.get(Payment, payment_id) is not None:
        return False
    body = redacted(event.routing_key, event.body)  # nobody could have it forgotten: it names no checkout
    kept = {"event_id": event.id, "payment_id": payment_id, "headers": dict(event.headers), "body": body}
    insert_once(session, Stray, **kept, kept_at=utcnow())
    inbox.mark_ignored(session, [event.id], f"no order of ours was paid with {payment_id}")
    return True


def bring_back(session: Session, payment_ids: Collection[str]) -> None:
    """These payments are about to be known: what came before them is due now."""
    serialize(session, payment_ids)
    strays = session.scalars(select(Stray).where(Stray.payment_id.in_(payment_ids))).all()
    if strays:
        wake_after_commit(session, inbox.CHANNEL)
    for stray in strays:
        again = {"status": inbox_models.WAITING, "attempts": 0, "next_attempt_at": utcnow(), "finished_at": None}
        row = update(InboxEvent).where(InboxEvent.event_id == stray.event_id)
        session.execute(row.values(**again, headers=stray.headers, body=stray.body))
        session.delete(stray)


def prune(store: Database) -> None:
    with store.begin() as session:
        session.execute(delete(Stray).where(Stray.kept_at < utcnow() - KEPT))


def serialize(session: Session, payment_ids: Collection[str]) -> None:
    """Until the transaction ends, nobody else makes these known or keeps their strays. SQLite has one writer.

    Always in the same order, so that two transactions with several of them never wait for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        wanted = values(column("id", String), name="wanted").data([(payment_id,) for payment_id in sorted(payment_ids)])
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(wanted.c.id, 0))))
