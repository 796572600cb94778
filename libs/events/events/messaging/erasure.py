"""Erasure of a customer from the inbox and outbox of a service, in the transaction that erases its other tables.

No event is lost. Waiting, retrying and failed events can still be handled, unpublished ones are still published, and
published ones can be published again after a restore: all of them without the customer's personal data. The checkout is
recorded in `erased_checkouts`, so that later events about it are stored without that data, too (inbox.py, outbox.py).
"""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from events.clock import utcnow
from events.database.transaction import flush_deferred, for_update, insert_once
from events.messaging.erased_checkouts import lock_erasure
from events.messaging.inbox_models import DONE, IGNORED, ErasedCheckout, InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.redaction import redacted

CUSTOMER_ERASED = "orders.customer.erased"


def erase_inbox(session: Session, checkout_id: str) -> None:
    """Redact the checkout's stored events, and record that later ones must be redacted. Flushes deferred writes."""
    flush_deferred(session)
    lock_erasure(session, checkout_id)
    insert_once(session, ErasedCheckout, checkout_id=checkout_id, erased_at=utcnow())
    stored = select(InboxEvent).where(
        InboxEvent.correlation_id == checkout_id,
        or_(InboxEvent.status.not_in((DONE, IGNORED)), InboxEvent.body.is_not(None)),
    )
    for row in session.scalars(for_update(session, stored.order_by(InboxEvent.event_id))):
        row.redact()


def erase_outbox(session: Session, checkout_id: str) -> None:
    """Redact the checkout's outbox rows. The service's row of the checkout must be locked, so that no more are added.

    A relay that claimed a row earlier may still publish it with the personal data. Flushes deferred writes.
    """
    flush_deferred(session)
    rows = select(OutboxEvent).where(OutboxEvent.correlation_id == checkout_id).order_by(OutboxEvent.event_id)
    for row in session.scalars(for_update(session, rows)):
        row.body = redacted(row.routing_key, row.body)
