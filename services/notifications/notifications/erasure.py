"""Erasure of a customer: addresses and personal data are removed from the e-mails, and the e-mails' rows are kept.

The list of unsubscribed addresses stays: it has only keyed hashes, and an erased customer must stay unsubscribed.
"""

from datetime import datetime
from typing import Any

from events.database.transaction import for_update
from events.messaging.redaction import redacted_data
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from notifications.kinds import CUSTOMER_KINDS, Kind
from notifications.models import PENDING, SENDING, SUPPRESSED, CheckoutFacts, Email, Reminder

REASON = "the customer is erased"


def erase_customer(session: Session, checkout: CheckoutFacts, erased_at: datetime) -> None:
    """Erase the customer of a checkout, whose row must be locked.

    All e-mails about the checkout are redacted. Unsent e-mails to the customer are suppressed, and those to staff are
    still sent. A reminder about this checkout no longer counts as the last one to its address.
    """
    checkout.erased_at = checkout.erased_at or erased_at
    checkout.purchaser = None
    emails = session.scalars(for_update(session, select(Email).where(Email.checkout_id == checkout.checkout_id))).all()
    for email in emails:
        email.event_data = redacted_data(email.event_data)
        if email.kind in CUSTOMER_KINDS:
            _erase_recipient(email)
    session.execute(delete(Reminder).where(Reminder.email_id.in_([email.id for email in emails])))
    for digest_id in sorted({email.digest_id for email in emails if email.digest_id}):
        _redact_digest(session, digest_id, checkout.checkout_id)


def _redact_digest(session: Session, digest_id: str, checkout_id: str) -> None:
    """Redact the checkout's items in a digest and in its resends, whose subject keys begin with the digest's id."""
    digests = select(Email).where(Email.checkout_id.is_(None), Email.kind == Kind.STAFF_DIGEST)
    found = digests.where(Email.subject_key.startswith(digest_id, autoescape=True)).order_by(Email.id)
    for digest in session.scalars(for_update(session, found)):
        digest.event_data = {"items": [_redacted_item(item, checkout_id) for item in digest.event_data["items"]]}


def _erase_recipient(email: Email) -> None:
    """Remove the recipient and suppress the e-mail if it is not sent yet.

    The e-mail must not stay due, because without a recipient it would go to the staff. An e-mail in flight may still
    arrive. If it fails, its sender finds that the claim has ended.
    """
    if email.status in (PENDING, SENDING):
        email.finish(SUPPRESSED, error=REASON)
    elif email.error is not None:
        email.error = REASON  # the server's answer can contain the address
    email.recipient, email.locale = None, None


def _redacted_item(item: dict[str, Any], checkout_id: str) -> dict[str, Any]:
    data = item["event_data"]
    return {**item, "event_data": redacted_data(data)} if data.get("checkout_id") == checkout_id else item
