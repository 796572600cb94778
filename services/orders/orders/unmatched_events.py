"""Unmatched events: refund, dispute and Radar events whose payment is not known yet.

Stripe puts no metadata on disputes, on Radar's reviews and warnings, nor on refunds made in its dashboard. They belong
to this shop if their payment does. Such an event can arrive before its payment. On a shared Stripe account, most of
them belong to other shops. So the inbox records the event as ignored, and `unmatched_events` stores it. When its
payment arrives, the event is due in the inbox again.
"""

from collections.abc import Collection

from events.clock import utcnow
from events.database.engine import Database
from events.database.notify import wake_after_commit
from events.database.transaction import insert_once, lock_keys
from events.messaging import inbox, inbox_models
from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.messaging.redaction import redacted
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from orders.models.payments import Payment
from orders.models.unmatched_events import UnmatchedEvent


def park_if_unmatched(session: Session, event: Event, payment_id: str) -> bool:
    """Store the event without personal data and return True, unless its payment is known.

    An erasure finds events by their checkout, and this event names none. So it is redacted before it is stored.
    """
    lock_payment_ids(session, [payment_id])
    if session.get(Payment, payment_id) is not None:
        return False
    insert_once(
        session,
        UnmatchedEvent,
        event_id=event.id,
        payment_id=payment_id,
        headers=dict(event.headers),
        body=redacted(event.routing_key, event.body),
        parked_at=utcnow(),
    )
    inbox.mark_ignored(
        session, [event.id], f"no order has the payment {payment_id} yet: the event is stored until one has"
    )
    return True


def requeue_matched(session: Session, payment_ids: Collection[str]) -> None:
    """Make the stored events of these payments due in the inbox. Call it in the transaction that adds the payments."""
    lock_payment_ids(session, payment_ids)
    events = session.scalars(select(UnmatchedEvent).where(UnmatchedEvent.payment_id.in_(payment_ids))).all()
    if events:
        wake_after_commit(session, inbox.CHANNEL)
    for event in events:
        due = {"status": inbox_models.WAITING, "attempts": 0, "next_attempt_at": utcnow(), "finished_at": None}
        row = update(InboxEvent).where(InboxEvent.event_id == event.event_id)
        session.execute(row.values(**due, headers=event.headers, body=event.body))
        session.delete(event)


def prune(database: Database) -> None:
    """Delete events that were stored more than `inbox.RETENTION` ago: the inbox has deleted its rows of them."""
    with database.begin() as session:
        session.execute(delete(UnmatchedEvent).where(UnmatchedEvent.parked_at < utcnow() - inbox.RETENTION))


def lock_payment_ids(session: Session, payment_ids: Collection[str]) -> None:
    """Lock payment ids until the transaction ends: no other transaction adds these payments or parks their events.

    The ids are locked in sorted order, so that transactions cannot deadlock.
    """
    lock_keys(session, payment_ids)
