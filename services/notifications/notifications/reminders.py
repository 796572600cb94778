"""Reminders of abandoned carts: who gets one.

A reminder advertises, so it needs the customer's consent, or the shop's decision that it needs none. An explicit no is
always respected. The event's consent decides whether a reminder is queued. Whether the address has bought, has had a
reminder, or has unsubscribed is decided right before the sending, because all of it can happen while the e-mail waits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from events.database.email_keys import email_key
from events.database.transaction import insert
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from notifications.models import CheckoutFacts, Email, Reminder
from notifications.unsubscribing import UnsubscribeLinks, is_unsubscribed

OPT_IN, OPT_OUT = "opt_in", "opt_out"  # Stripe's `consent.promotions`
REMINDER_INTERVAL = timedelta(days=7)  # between two reminders to one address, and between a purchase and a reminder
UNCONFIGURED = "PUBLIC_URL and UNSUBSCRIBE_SECRET are not both set, but the unsubscribe link needs them"


class ReminderMode(StrEnum):
    """The values of ABANDONED_CART_EMAILS: which customers get reminders of abandoned carts."""

    OFF = "off"
    CONSENT = "consent"
    ALL = "all"


@dataclass(frozen=True)
class ReminderPolicy:
    """The shop's rules for reminders: who gets them, and the links with which customers unsubscribe."""

    mode: str
    links: UnsubscribeLinks

    def refusal(self, consent: str | None) -> str | None:
        """Return why a customer with this consent gets no reminder. None: they may get one."""
        if self.mode == ReminderMode.OFF:
            return "ABANDONED_CART_EMAILS is off"
        if consent == OPT_OUT:
            return "the customer did not consent to promotional e-mails"
        if self.mode != ReminderMode.ALL and consent != OPT_IN:
            return "the customer was not asked for consent to promotional e-mails"
        return None if self.links else UNCONFIGURED


NO_REMINDERS = ReminderPolicy(ReminderMode.OFF, UnsubscribeLinks())


def take_turn(session: Session, email: Email, links: UnsubscribeLinks, now: datetime) -> str | None:
    """Record a due reminder as the last one to its address and return None, or return why it must not be sent."""
    recipient = email.recipient or ""
    if not links:
        return UNCONFIGURED
    if is_unsubscribed(session, links.address_key(recipient)):
        return "the address is unsubscribed"
    if _has_bought(session, recipient, since=email.created_at - REMINDER_INTERVAL):
        return "the customer has bought"
    if not _record_turn(session, email, links.address_key(recipient), now):
        return f"the address had a reminder within {REMINDER_INTERVAL.days} days"
    return None


def _has_bought(session: Session, address: str, since: datetime) -> bool:
    bought = select(CheckoutFacts.checkout_id).where(CheckoutFacts.purchaser == email_key(address))
    return session.scalar(bought.where(CheckoutFacts.purchased_at >= since).limit(1)) is not None


def _record_turn(session: Session, email: Email, address_key: str, now: datetime) -> bool:
    """Record the reminder and return True, unless the address had another one within `REMINDER_INTERVAL`.

    One statement checks and records, so two senders cannot both succeed.
    """
    record = insert(session, Reminder).values(address_key=address_key, email_id=email.id, reminded_at=now)
    same_reminder = Reminder.email_id.in_([email.id, email.resend_of or email.id])
    record = record.on_conflict_do_update(
        index_elements=[Reminder.address_key],
        set_={"email_id": email.id, "reminded_at": now},
        where=or_(Reminder.reminded_at <= now - REMINDER_INTERVAL, same_reminder),
    )
    return session.scalar(record.returning(Reminder.address_key)) is not None
