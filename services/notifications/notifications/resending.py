"""A mail once more, because an operator asks for it: a new row, the old one stays as it is."""

from events.clock import utcnow
from events.database.notify import notify_after_commit
from events.messaging.event import new_id
from events.web.problems import Problem
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import CUSTOMER_KINDS
from notifications.models import CHANNEL, PENDING, SENDING, Email, purchase

UNDER_WAY = (PENDING, SENDING)


def resend(session: Session, email_id: str, actor: str) -> Email:
    """The new mail, due at once. Raises `Problem` where there is none, or it is still going out by itself."""
    original = session.get(Email, email_id)
    if original is None:
        raise Problem(404, "notification-not-found", f"There is no notification {email_id}.")
    if original.checkout_id:  # first, as the sender does: else the two could wait for each other
        about = purchase(session, original.checkout_id)
        if about.erased_at and original.kind in CUSTOMER_KINDS:
            raise Problem(409, "customer-erased", "The customer is forgotten: there is nobody to send this to.")
    session.refresh(original, with_for_update=True)  # two operators, or two clicks, one after the other
    if found := _under_way(session, original):
        raise Problem(
            409, "notification-under-way", f"{found} is still on its way; wait until it is sent.", notification_id=found
        )
    again = _copy(original, actor)
    session.add(again)
    session.flush()
    notify_after_commit(session, CHANNEL)  # the sender is another process
    return again


def _under_way(session: Session, original: Email) -> str | None:
    same = (Email.id == original.id) | (Email.resend_of == original.id)
    return session.scalar(select(Email.id).where(same, Email.status.in_(UNDER_WAY)).limit(1))


def _copy(original: Email, actor: str) -> Email:
    fresh, now = new_id("eml"), utcnow()
    return Email(
        id=fresh,
        kind=original.kind,
        checkout_id=original.checkout_id,
        subject_key=f"{original.subject_key.partition('/')[0]}/{fresh}",
        recipient=original.recipient,
        locale=original.locale,
        context=original.context,
        status=PENDING,
        attempts=0,
        next_attempt_at=now,
        created_at=now,
        resend_of=original.id,
        requested_by=actor,
    )
