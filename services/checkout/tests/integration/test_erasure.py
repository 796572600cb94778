"""Erasure of a customer: no personal data stays, and later events of Stripe add none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from checkout import discounts, handlers, models
from checkout.errors import CheckoutExpiredError
from checkout.models import Discount, DiscountUse
from events.database.engine import Database
from events.errors import NotYet
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.testing.bus import deliver, outbox_events
from events.testing.columns import columns_with
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from sqlalchemy import select

PERSONAL_DATA = ("zoe@example", "Zoë", "Lindenweg", "zoe-7")
REQUEST = {"customer_email": "Zoe@Example.com", "locale": "de", "success_url": "https://shop.test/thanks?for=zoe-7"}
DETAILS = {"email": "zoe@example.com", "name": "Zoë Müller", "address": {"line1": "Lindenweg 7"}, "phone": None}
CREATE = "/v1/checkout/sessions"


def customer_erased(checkout_id: str, suffix: str = "") -> Event:
    data = {"order_id": "ord_1", "checkout_id": checkout_id, "erased_at": datetime(2026, 11, 3, tzinfo=UTC)}
    return own_event("orders.customer.erased", data, correlation_id=checkout_id, event_id=f"evt_erased{suffix}")


def erase(system: Any, checkout_id: str, suffix: str = "") -> str:
    return deliver(system.database, handlers.handlers, customer_erased(checkout_id, suffix))


def stored(database: Database, event_id: str) -> InboxEvent:
    with database.read() as session:
        return session.get_one(InboxEvent, event_id)


def uses(database: Database) -> list[tuple[str | None, str]]:
    with database.read() as session:
        return [(use.email, use.status) for use in session.scalars(select(DiscountUse))]


def add_discount(system: Any) -> None:
    with system.database.begin() as session:
        session.add(Discount(code="ZOE10", percent_off=10, minimums={}, limit_per_email=1, active=True))


@pytest.fixture
def failing() -> Handlers:
    made = Handlers()

    @made.on("stripe.checkout.session.completed")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"unknown customer: {event.object['customer_details']}")

    return made


def completed(checkout_id: str, event_id: str = "evt_completed", **changes: Any) -> Event:
    obj = checkout_session(checkout_id, id="cs_test_1", customer_details=DETAILS, **changes)
    return as_bus_event(stripe_event("checkout.session.completed", obj, event_id=event_id))


def test_erasure_removes_the_customer_and_keeps_the_purchase(any_system: Any) -> None:
    add_discount(any_system)
    checkout = any_system.start(key="zoe-7", discount_code="ZOE10", **REQUEST)
    any_system.deliver_session_event("completed", checkout.id, customer_details=DETAILS)
    before = any_system.stored_checkout()
    assert columns_with(any_system.database, *PERSONAL_DATA) != []

    assert erase(any_system, checkout.id) == "done"
    assert columns_with(any_system.database, *PERSONAL_DATA) == []
    kept = any_system.stored_checkout()
    names = ("status", "payment_status", "currency", "amount_total", "lines", "shipping", "session_id", "discount_code")
    assert [getattr(kept, name) for name in names] == [getattr(before, name) for name in names]
    assert uses(any_system.database) == [(None, models.USED)]


def test_unpublished_start_is_published_without_the_customer(system: Any) -> None:
    checkout = system.start(**REQUEST)
    erase(system, checkout.id)
    [started] = outbox_events(system.database)
    assert (started.data["checkout_id"], started.data["customer_email"]) == (checkout.id, None)
    assert started.data["amount_total"] == checkout.amount_total


def test_second_erasure_changes_nothing(system: Any) -> None:
    checkout = system.start(**REQUEST)
    erase(system, checkout.id)
    before = system.stored_checkout()
    assert erase(system, checkout.id, "_again") == "done"
    assert vars(system.stored_checkout()).keys() == vars(before).keys()
    assert system.stored_checkout().fingerprint == before.fingerprint == ""


def test_payment_after_erasure_is_recorded_without_the_customer(any_system: Any) -> None:
    add_discount(any_system)
    checkout = any_system.start(discount_code="ZOE10", **REQUEST)
    erase(any_system, checkout.id)
    assert any_system.deliver_session_event("completed", checkout.id, customer_details=DETAILS) == "done"
    assert (any_system.stored_checkout().status, any_system.stored_checkout().payment_status) == (
        models.COMPLETE,
        models.PAYMENT_PAID,
    )
    assert uses(any_system.database) == [(None, models.USED)]
    assert columns_with(any_system.database, "zoe@example", "Zoë", "Lindenweg") == []


def test_event_that_failed_before_erasure_can_be_retried(any_system: Any, failing: Handlers) -> None:
    checkout = any_system.start(**REQUEST)
    assert deliver(any_system.database, failing, completed(checkout.id)) == "retrying"
    assert "inbox.traceback" in columns_with(any_system.database, "Lindenweg")
    erase(any_system, checkout.id)
    assert columns_with(any_system.database, *PERSONAL_DATA) == []
    assert stored(any_system.database, "evt_completed").error == "ValueError: text removed with the customer's data"

    Runner(any_system.database, handlers.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert stored(any_system.database, "evt_completed").status == "done"
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PAID


def test_event_that_fails_after_erasure_is_stored_redacted(any_system: Any, failing: Handlers) -> None:
    checkout = any_system.start(**REQUEST)
    erase(any_system, checkout.id)
    assert deliver(any_system.database, failing, completed(checkout.id)) == "retrying"
    assert columns_with(any_system.database, *PERSONAL_DATA) == []
    Runner(any_system.database, handlers.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PAID


def test_erasure_of_an_unknown_checkout_redacts_later_events(system: Any) -> None:
    """After a restore from a backup, for example, events about the checkout come again."""
    late = Handlers()

    @late.on("stripe.checkout.session.completed")
    def wait(event: Event, session: Any) -> None:
        raise NotYet(event.id)

    assert erase(system, "chk_unknown") == "done"
    assert deliver(system.database, late, completed("chk_unknown")) == "waiting"
    assert columns_with(system.database, *PERSONAL_DATA) == []


def test_session_read_by_the_sweeper_is_stored_redacted(any_system: Any) -> None:
    checkout = any_system.start(**REQUEST)
    erase(any_system, checkout.id)
    any_system.stripe.sessions["cs_test_1"]["customer_details"] = DETAILS
    any_system.stripe.pay("cs_test_1")
    any_system.sweeper.run(any_system.clock.advance(hours=1))
    assert any_system.stored_checkout().payment_status == models.PAYMENT_PAID
    [_, recovered] = outbox_events(any_system.database)
    assert recovered.object["payment_status"] == "paid"
    assert columns_with(any_system.database, *PERSONAL_DATA) == []


def test_abandoned_checkout_without_order_is_erased(any_system: Any, crash: Any) -> None:
    add_discount(any_system)
    any_system.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        any_system.start(discount_code="ZOE10", **REQUEST)
    any_system.stripe.before = lambda _: (400, {"error": {"type": "invalid_request_error", "message": "no"}})
    any_system.sweeper.run(any_system.clock.advance(minutes=2))
    assert any_system.stored_checkout().status == models.ABANDONED
    assert columns_with(any_system.database, *PERSONAL_DATA) == []
    assert uses(any_system.database) == [(None, models.RELEASED)]
    with pytest.raises(CheckoutExpiredError):
        any_system.start(discount_code="ZOE10", **REQUEST)


def test_start_published_with_the_erasure_is_redacted(system: Any, crash: Any) -> None:
    """The webhook of an unknown session publishes the start: a write that is deferred to the transaction's end."""
    system.stripe.after = crash.once(CREATE)
    with pytest.raises(crash.error):
        system.start(**REQUEST)
    checkout_id = system.stored_checkout().id
    Runner(system.database, handlers.handlers).handle([completed(checkout_id), customer_erased(checkout_id)])
    assert system.published_types() == ["checkout.checkout.started"]
    assert columns_with(system.database, *PERSONAL_DATA) == []


def test_limit_per_customer_ignores_erased_uses(system: Any) -> None:
    add_discount(system)
    checkout = system.start(discount_code="ZOE10", **REQUEST)
    system.deliver_session_event("completed", checkout.id)
    erase(system, checkout.id)
    assert system.start(key="key-2", discount_code="ZOE10", **REQUEST).status == models.OPEN
    with system.database.read() as session:
        assert discounts.count_uses(session, ["ZOE10"]) == {"ZOE10": {"used": 1, "held": 1}}
