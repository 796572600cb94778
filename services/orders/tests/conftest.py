"""Facts that the orders service is told, and a database to tell them to."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from events.envelope import Event, own_event
from events.testing.stripe import as_bus_event, checkout_session, stripe_event

CHECKOUT = "chk_1"
SESSION = "cs_1"
INTENT = "pi_1"


@pytest.fixture
def started() -> Event:
    """A cart of 57.38 EUR."""
    line = {"sku": "TEE-M", "name": "Tee", "quantity": 2, "unit_amount": 2624, "amount_total": 5248}
    data = {
        "checkout_id": CHECKOUT,
        "session_id": SESSION,
        "livemode": False,
        "currency": "eur",
        "amount_subtotal": 5248,
        "amount_discount": 0,
        "amount_shipping": 490,
        "amount_total": 5738,
        "customer_email": None,
        "locale": "de",
        "expires_at": datetime(2026, 11, 2, 11, tzinfo=UTC),
        "lines": [line],
    }
    return own_event("checkout.session.started", data, correlation_id=CHECKOUT)


@pytest.fixture
def session_event() -> Callable[..., Event]:
    """An event of the cart's Stripe session: session_event("completed", payment_status="unpaid")."""

    def build(kind: str, *, headers: dict[str, Any] | None = None, **overrides: Any) -> Event:
        obj = checkout_session(CHECKOUT, **{"id": SESSION, "payment_intent": INTENT, **overrides})
        event = as_bus_event(stripe_event(f"checkout.session.{kind}", obj))
        return Event(**{**vars(event), "headers": {**event.headers, **(headers or {})}})

    return build
