"""Stock knows nobody; what Stripe told of a customer waits in the inbox only, and goes from there."""

from datetime import UTC, datetime
from typing import Any

import pytest
from events.messaging.event import own_event
from events.testing import deliver
from events.testing.columns import columns_with
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.handlers import handlers
from inventory.models import CHAINS


@pytest.mark.parametrize("order", [("paid", "forgotten"), ("forgotten", "paid")])
def test_payment_that_waits_for_its_reservation_waits_without_the_customer(
    any_database: Any, order: tuple[str, str]
) -> None:
    database = any_database(CHAINS)
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "erased_at": datetime(2026, 11, 3, tzinfo=UTC)}
    events = {
        "paid": as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_1"))),
        "forgotten": own_event("orders.customer.erased", data, correlation_id="chk_1"),
    }
    told = {name: deliver(database, handlers, events[name]) for name in order}
    assert told == {"paid": "waiting", "forgotten": "done"}
    assert columns_with(database, "zoe@example.com", "Zoë Müller") == []
