"""The queue of e-mails: one row for each occasion, which the sender sends after the commit."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import orjson
from events.clock import utcnow
from events.database.notify import wake_after_commit
from events.database.transaction import before_commit, defer_insert
from events.errors import Ignored
from events.messaging.event import Event, new_id
from events.messaging.redaction import redacted_data
from events.observability import tracing
from events.observability.logging import get_logger
from sqlalchemy.orm import Session

from notifications.kinds import CUSTOMER_KINDS
from notifications.models import CHANNEL, PENDING, SUPPRESSED, Email, lock_or_insert_checkout
from notifications.suppression import suppress_stale

log = get_logger(__name__)


def notify_customer(
    event: Event, session: Session, kind: str, subject_key: str, *, delay: timedelta = timedelta()
) -> None:
    """Queue an e-mail to the customer, due after the delay.

    Raises `Ignored` if no address is known or the customer is erased.
    """
    recipient, locale = event.data["customer_email"], event.data["locale"]
    if not recipient:
        log.info(
            "no e-mail queued, because the customer's address is not known",
            kind=kind,
            checkout_id=event.data["checkout_id"],
        )
        raise Ignored(f"no e-mail address is known, so no {kind} e-mail")
    queue_email(event, session, kind, subject_key, due_at=utcnow() + delay, recipient=recipient, locale=locale)


def notify_customer_if_known(
    event: Event, session: Session, kind: str, subject_key: str, *, delay: timedelta = timedelta()
) -> None:
    """Queue an e-mail to the customer, or do nothing if no address is known or the customer is erased.

    The event keeps its other effects, which `Ignored` would undo.
    """
    with suppress(Ignored):
        notify_customer(event, session, kind, subject_key, delay=delay)


def notify_staff(event: Event, session: Session, kind: str, subject_key: str, *, due_at: datetime) -> None:
    """Queue an e-mail to the staff. Personal data of an erased customer is redacted."""
    queue_email(event, session, kind, subject_key, due_at=due_at)


def record_suppressed(event: Event, session: Session, kind: str, subject_key: str, *, reason: str) -> None:
    """Store an e-mail as suppressed, so that it is never sent. Like a sent one, it makes other e-mails stale."""
    queue_email(event, session, kind, subject_key, due_at=None, status=SUPPRESSED, error=reason)


def queue_email(
    event: Event,
    session: Session,
    kind: str,
    subject_key: str,
    *,
    due_at: datetime | None,
    status: str = PENDING,
    **values: str | None,
) -> None:
    """Add the row of an e-mail unless this occasion has one, and suppress the stale e-mails of its checkout.

    Both happen right before the commit. Raises `Ignored` for an e-mail to an erased customer.
    """
    checkout = lock_or_insert_checkout(session, event.data["checkout_id"]) if "checkout_id" in event.data else None
    data = _json_data(event)
    if checkout and checkout.erased_at:
        if kind in CUSTOMER_KINDS:
            raise Ignored(f"the customer is erased, so no {kind} e-mail")
        data = redacted_data(data)
    defer_insert(
        session,
        Email,
        id=new_id("eml"),
        kind=kind,
        checkout_id=checkout.checkout_id if checkout else None,
        subject_key=subject_key,
        event_data=data,
        status=status,
        attempts=0,
        next_attempt_at=due_at,
        created_at=utcnow(),
        traceparent=tracing.traceparent(),
        **{"recipient": None, "locale": None, "error": None, **values},
    )
    if checkout:
        before_commit(session, suppress_stale, checkout)
    wake_after_commit(session, CHANNEL)


def _json_data(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads(orjson.dumps({"occurred_at": event.occurred_at, **event.data}))
    return data
