"""A difference between Stripe and the orders."""

from dataclasses import dataclass

from events.money import format_amount


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


def describe_amount(amount: int, currency: str) -> str:
    """Return an amount as text, in minor units and for people: 1999 eur (19.99 EUR)."""
    return f"{amount} {currency} ({format_amount(amount, currency)})"
