"""The payment of a Checkout Session. Stripe can add statuses, so an unknown one never counts as paid."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from events.messaging.event import Event

PAID_STATUSES = frozenset(["paid", "no_payment_required"])  # the only statuses that fulfill a checkout

# How long a payment under way keeps its stock: inventory from its start, checkout again from each of its daily checks.
# It is long enough for operators to repair what fails meanwhile.
PENDING_HOLD_TIME = timedelta(days=14)


def is_paid(stripe_session: Mapping[str, Any]) -> bool:
    """Return True if a session is paid, or free. Any other status, also an unknown one, counts as not paid yet."""
    return stripe_session.get("payment_status") in PAID_STATUSES


def is_late(event: Event) -> bool:
    """Return True if a session event came after the session's end, or is about a recovered cart.

    The stock of the checkout may be for sale again by then. So inventory publishes if it took the stock, and orders
    waits for that. Both decide by the same values: the arrival at the ingest, or the time of a recovered event.
    """
    if event.object.get("recovered_from"):
        return True
    expires_at, received_at = event.object.get("expires_at"), event.headers.get("received_at")
    arrived_at = datetime.fromisoformat(received_at) if isinstance(received_at, str) else event.occurred_at
    return isinstance(expires_at, int) and arrived_at > datetime.fromtimestamp(expires_at, UTC)
