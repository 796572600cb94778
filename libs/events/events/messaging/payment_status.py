"""The payment status of Stripe's Checkout Sessions. Stripe can add values, so an unknown one never counts as paid."""

from collections.abc import Mapping
from typing import Any

PAID = frozenset(["paid", "no_payment_required"])  # the only statuses that fulfill a checkout


def is_paid(stripe_session: Mapping[str, Any]) -> bool:
    """Return True if a session is paid, or free. Every other status, also an unknown one, is money under way."""
    return stripe_session.get("payment_status") in PAID
