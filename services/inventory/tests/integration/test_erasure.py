"""Erasure of a customer: only the inbox has personal data, in events that wait."""

from datetime import UTC, datetime
from typing import Any

import pytest
from events.messaging.event import own_event
from events.testing.bus import deliver
from events.testing.columns import columns_with
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.chains import CHAINS
from inventory.handlers import handlers


@pytest.mark.parametrize("order", [("paid", "erased"), ("erased", "paid")])
def test_waiting_payment_of_an_erased_customer_is_redacted(any_database: Any, order: tuple[str, str]) -> None:
    database = any_database(CHAINS)
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": datetime(2026, 11, 3, tzinfo=UTC)}
    events = {
        "paid": as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_1"))),
        "erased": own_event("orders.customer.erased", data, correlation_id="chk_1"),
    }
    outcomes = {name: deliver(database, handlers, events[name]) for name in order}
    assert outcomes == {"paid": "waiting", "erased": "done"}
    assert columns_with(database, "zoe@example.com", "Zoë Müller") == []
