"""The payment of a Checkout Session. Stripe can add statuses, so an unknown one never counts as paid.

An endpoint can also receive the events of connected accounts, whose money is not the shop's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from events.errors import Ignored
from events.messaging.event import Event

PAID_STATUSES = frozenset(["paid", "no_payment_required"])  # the only statuses that fulfill a checkout

PAYMENT_EVENTS = ("checkout.session.completed", "checkout.session.async_payment_succeeded")

# How long a payment under way keeps its stock: inventory from its start, checkout again from each of its daily checks.
# It is long enough for operators to repair what fails meanwhile.
PENDING_HOLD_TIME = timedelta(days=14)


def is_paid(stripe_session: Mapping[str, Any]) -> bool:
    """Return True if a session is paid, or free. Any other status, also an unknown one, counts as not paid yet."""
    return stripe_session.get("payment_status") in PAID_STATUSES


def check_account(event: Event) -> None:
    """Raise `Ignored` for a connected account's event, unless it reports a paid session.

    A paid session of any account ends its checkout and sells its stock, and orders opens a review. A session that
    expires can have the payment status `no_payment_required`, so the event's type counts, too.
    """
    account = event.headers.get("account")
    if account and not (event.type in PAYMENT_EVENTS and is_paid(event.object)):
        raise Ignored(f"an event of the connected account {account}, which is not the shop's")


def is_late(event: Event) -> bool:
    """Return True if a session event came after the session's end, or is about a recovered cart.

    The stock of the checkout may be for sale again by then. So inventory publishes whether it took the pieces, and
    orders waits for that. Both use the same time: when the ingest received the event, or its `occurred_at` if the
    event did not come from the ingest.
    """
    if event.object.get("recovered_from"):
        return True
    expires_at, received_at = event.object.get("expires_at"), event.headers.get("received_at")
    arrived_at = datetime.fromisoformat(received_at) if isinstance(received_at, str) else event.occurred_at
    return isinstance(expires_at, int) and arrived_at > datetime.fromtimestamp(expires_at, UTC)
