"""Resends: an operator has a mail sent once more. The resend is a new row, and the original stays unchanged."""

from events.clock import utcnow
from events.database.notify import notify_after_commit
from events.messaging.event import new_id
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.errors import CustomerErasedError, NotificationNotFoundError, NotificationUnsentError
from notifications.kinds import CUSTOMER_KINDS
from notifications.models import CHANNEL, PENDING, SENDING, Email, lock_or_insert_checkout

UNSENT = (PENDING, SENDING)


def resend(session: Session, email_id: str, actor: str) -> Email:
    """Add a copy of a mail, due at once, and return it.

    Raises `NotificationNotFoundError`, `NotificationUnsentError` or `CustomerErasedError`.
    """
    original = session.get(Email, email_id)
    if original is None:
        raise NotificationNotFoundError(email_id)
    if original.checkout_id:  # lock order: the checkout first, as the sender does
        checkout = lock_or_insert_checkout(session, original.checkout_id)
        if checkout.erased_at and original.kind in CUSTOMER_KINDS:
            raise CustomerErasedError
    session.refresh(original, with_for_update=True)  # one after the other, if two operators click at once
    if unsent := _unsent(session, original):
        raise NotificationUnsentError(unsent)
    copy = _copy(original, actor)
    session.add(copy)
    session.flush()
    notify_after_commit(session, CHANNEL)  # the sender is another process
    return copy


def _unsent(session: Session, original: Email) -> str | None:
    same = (Email.id == original.id) | (Email.resend_of == original.id)
    return session.scalar(select(Email.id).where(same, Email.status.in_(UNSENT)).limit(1))


def _copy(original: Email, actor: str) -> Email:
    new, now = new_id("eml"), utcnow()
    return Email(
        id=new,
        kind=original.kind,
        checkout_id=original.checkout_id,
        subject_key=f"{original.subject_key.partition('/')[0]}/{new}",
        recipient=original.recipient,
        locale=original.locale,
        event_data=original.event_data,
        status=PENDING,
        attempts=0,
        next_attempt_at=now,
        created_at=now,
        resend_of=original.id,
        requested_by=actor,
    )
