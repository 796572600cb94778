"""A difference between Stripe and the orders."""

from dataclasses import dataclass
from enum import StrEnum

from events.money import format_amount


class About(StrEnum):
    """The kinds of objects that differ."""

    SESSION = "session"
    INTENT = "intent"
    REFUND = "refund"
    DISPUTE = "dispute"
    ORDER = "order"


@dataclass(frozen=True)
class Difference:
    """One difference between Stripe and an order. `kind` is for programs, `text` for operators.

    `missing_event` is the event that would repair it: `refund.updated`, `charge.dispute.updated`, or a session's event
    without its prefix `checkout.session.`, such as `completed`. It is None if no event can repair the difference.
    `repaired_by` is the id of the event that was added to the outbox.
    """

    kind: str
    text: str
    checkout_id: str
    order_number: str | None = None
    session_id: str | None = None
    payment_intent: str | None = None
    refund_id: str | None = None
    dispute_id: str | None = None
    missing_event: str | None = None
    repaired_by: str | None = None

    @property
    def subject(self) -> tuple[About, str]:
        """The object that differs: its kind and id."""
        ids = {
            About.REFUND: self.refund_id,
            About.DISPUTE: self.dispute_id,
            About.SESSION: self.session_id,
            About.INTENT: self.payment_intent,
        }
        found = next(((about, object_id) for about, object_id in ids.items() if object_id), None)
        return found or (About.ORDER, self.checkout_id)


def describe_amount(amount: int, currency: str) -> str:
    """Return an amount as text, in minor units and for people: 1999 eur (19.99 EUR)."""
    return f"{amount} {currency} ({format_amount(amount, currency)})"
