"""Forgetting a customer: her address and what her mails would say go, that there were such mails stays."""

from datetime import datetime
from typing import Any

from events.database.transaction import for_update
from events.messaging.redaction import redacted_data
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import CUSTOMER_KINDS, STAFF_DIGEST
from notifications.models import PENDING, SENDING, SUPPRESSED, Email, Purchase

REASON = "the customer is forgotten"


def forget_customer(session: Session, about: Purchase, at: datetime) -> None:
    """The purchase is locked. Staff's mails about it still go out, without her."""
    about.erased_at = about.erased_at or at
    emails = session.scalars(for_update(session, select(Email).where(Email.checkout_id == about.checkout_id))).all()
    for email in emails:
        email.context = redacted_data(email.context)
        if email.kind in CUSTOMER_KINDS:
            _erase(email)
    for digest_id in sorted({email.digest_id for email in emails if email.digest_id}):
        _forget_in_digest(session, digest_id, about.checkout_id)


def _forget_in_digest(session: Session, digest_id: str, checkout_id: str) -> None:
    """And in what was sent of it again: the subjects of both begin with its id."""
    digests = select(Email).where(Email.checkout_id.is_(None), Email.kind == STAFF_DIGEST)
    sent = digests.where(Email.subject_key.startswith(digest_id, autoescape=True)).order_by(Email.id)
    for digest in session.scalars(for_update(session, sent)):
        digest.context = {"items": [_without(item, checkout_id) for item in digest.context["items"]]}


def _erase(email: Email) -> None:
    """A mail that a sender has in hand is on its way; should that fail, it finds the mail no longer its own.

    It must not stay due: a mail without a recipient is the staff's.
    """
    if email.status in (PENDING, SENDING):
        email.finish(SUPPRESSED, error=REASON)
    elif email.error is not None:
        email.error = REASON  # what the server said names the address
    email.recipient, email.locale = None, None


def _without(item: dict[str, Any], checkout_id: str) -> dict[str, Any]:
    context = item["context"]
    return {**item, "context": redacted_data(context)} if context.get("checkout_id") == checkout_id else item
