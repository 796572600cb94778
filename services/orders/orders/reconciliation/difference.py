"""A difference between Stripe and the orders."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """One difference. `kind` is for programs, `text` for operators.

    `missing_event` is the event that would repair it: a session's, such as `completed`, `refund.updated` or
    `charge.dispute.updated`. It is None if no event can. `repaired_by` is the id of the event that was added to
    the outbox.
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


def minor_units(amount: int, currency: str) -> str:
    """Return an amount as text in minor units, which is how amounts are compared."""
    return f"{amount} {currency}"
