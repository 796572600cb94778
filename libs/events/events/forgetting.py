"""Forgetting a customer: what every service does about its inbox and outbox in the transaction that erases its own.

Nothing promised is lost by it. An event that waits, is retried or has failed stays and can still be handled; one that
is promised is still published; one that was published may be published again after a restore. They only no longer say
who the customer was. What comes later finds the checkout in `forgotten` and is stored without her (inbox.py,
outbox.py).
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from events import batch
from events.database import insert_once, lock, utcnow
from events.inbox import DONE, IGNORED, ForgottenCheckout, InboxEvent, serialize_forgetting
from events.outbox import OutboxEvent
from events.redaction import redacted

FORGOTTEN = "orders.customer.forgotten"


def forget_received(session: Session, checkout_id: str) -> None:
    """Take the customer out of the inbox, now and for what comes later, and write what was left to the end."""
    batch.settle(session)
    serialize_forgetting(session, checkout_id)
    insert_once(session, ForgottenCheckout, checkout_id=checkout_id, forgotten_at=utcnow())
    stored = select(InboxEvent).where(
        InboxEvent.correlation_id == checkout_id, InboxEvent.status.not_in((DONE, IGNORED))
    )
    for row in session.scalars(lock(session, stored.order_by(InboxEvent.event_id))):
        row.redact()


def forget_promised(session: Session, checkout_id: str) -> None:
    """Take the customer out of the outbox. Call it once the service's row of the checkout is locked: nobody adds more.

    A relay that has one of them in hand is waited for: what it is publishing now is as if it had been a moment ago.
    """
    batch.settle(session)
    promised = select(OutboxEvent).where(OutboxEvent.correlation_id == checkout_id).order_by(OutboxEvent.event_id)
    for row in session.scalars(lock(session, promised)):
        row.body = redacted(row.routing_key, row.body)
