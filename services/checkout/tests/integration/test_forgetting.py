"""A customer is forgotten once orders says so: nothing of her stays, and what Stripe tells later changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from checkout import discounts, handlers, models
from checkout.models import Discount, DiscountUse
from checkout.problems import CheckoutExpired
from events.database.engine import Database
from events.errors import NotYet
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.testing import deliver, outbox_events
from events.testing.columns import columns_with
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from sqlalchemy import select

HER = ("zoe@example", "Zoë", "Lindenweg", "zoe-7")
WISH = {"customer_email": "Zoe@Example.com", "locale": "de", "success_url": "https://shop.test/thanks?for=zoe-7"}
DETAILS = {"email": "zoe@example.com", "name": "Zoë Müller", "address": {"line1": "Lindenweg 7"}, "phone": None}
CREATE = "/v1/checkout/sessions"


def forgotten(checkout_id: str, again: str = "") -> Event:
    data = {"order_id": "ord_1", "checkout_id": checkout_id, "erased_at": datetime(2026, 11, 3, tzinfo=UTC)}
    return own_event("orders.customer.erased", data, correlation_id=checkout_id, event_id=f"evt_forgotten{again}")


def forget(world: Any, checkout_id: str, again: str = "") -> str:
    return deliver(world.database, handlers.handlers, forgotten(checkout_id, again))


def stored(world: Any, event_id: str) -> InboxEvent:
    with world.database.read() as session:
        return session.get_one(InboxEvent, event_id)


def uses(database: Database) -> list[tuple[str | None, str]]:
    with database.read() as session:
        return [(use.email, use.status) for use in session.scalars(select(DiscountUse))]


def with_discount(world: Any) -> None:
    with world.database.begin() as session:
        session.add(Discount(code="ZOE10", percent_off=10, minimums={}, limit_per_email=1, active=True))


@pytest.fixture
def failing() -> Handlers:
    made = Handlers()

    @made.on("stripe.checkout.session.completed")
    def fail(event: Event, session: Any) -> None:
        raise ValueError(f"nobody is called {event.object['customer_details']}")

    return made


def completed(checkout_id: str, event_id: str = "evt_completed", **changes: Any) -> Event:
    obj = checkout_session(checkout_id, id="cs_test_1", customer_details=DETAILS, **changes)
    return as_bus_event(stripe_event("checkout.session.completed", obj, event_id=event_id))


def test_nothing_of_the_customer_stays_and_the_purchase_does(any_world: Any) -> None:
    with_discount(any_world)
    checkout = any_world.start(key="zoe-7", discount_code="ZOE10", **WISH)
    any_world.tell("completed", checkout.id, customer_details=DETAILS)
    agreed = any_world.row()
    assert columns_with(any_world.database, *HER) != []

    assert forget(any_world, checkout.id) == "done"
    assert columns_with(any_world.database, *HER) == []
    kept = any_world.row()
    names = ("status", "payment", "currency", "amount_total", "lines", "shipping", "session_id", "discount_code")
    assert [getattr(kept, name) for name in names] == [getattr(agreed, name) for name in names]
    assert uses(any_world.database) == [(None, models.USED)]


def test_promised_start_is_still_published_without_her(world: Any) -> None:
    checkout = world.start(**WISH)
    forget(world, checkout.id)
    [started] = outbox_events(world.database)
    assert (started.data["checkout_id"], started.data["customer_email"]) == (checkout.id, None)
    assert started.data["amount_total"] == checkout.amount_total


def test_forgetting_twice_changes_nothing_more(world: Any) -> None:
    checkout = world.start(**WISH)
    forget(world, checkout.id)
    before = world.row()
    assert forget(world, checkout.id, "again") == "done"
    assert vars(world.row()).keys() == vars(before).keys()
    assert world.row().fingerprint == before.fingerprint == ""


def test_money_that_comes_after_the_forgetting_is_booked_and_brings_nobody_back(any_world: Any) -> None:
    with_discount(any_world)
    checkout = any_world.start(discount_code="ZOE10", **WISH)
    forget(any_world, checkout.id)
    assert any_world.tell("completed", checkout.id, customer_details=DETAILS) == "done"
    assert (any_world.row().status, any_world.row().payment) == (models.COMPLETE, models.PAID)
    assert uses(any_world.database) == [(None, models.USED)]
    assert columns_with(any_world.database, "zoe@example", "Zoë", "Lindenweg") == []


def test_event_that_failed_before_can_still_be_handled_after(any_world: Any, failing: Handlers) -> None:
    checkout = any_world.start(**WISH)
    assert deliver(any_world.database, failing, completed(checkout.id)) == "retrying"
    assert "inbox.traceback" in columns_with(any_world.database, "Lindenweg")
    forget(any_world, checkout.id)
    assert columns_with(any_world.database, *HER) == []
    assert stored(any_world, "evt_completed").error == "ValueError: text removed with the customer's data"

    Runner(any_world.database, handlers.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert stored(any_world, "evt_completed").status == "done"
    assert any_world.row().payment == models.PAID


def test_event_that_fails_after_the_forgetting_is_stored_without_her(any_world: Any, failing: Handlers) -> None:
    checkout = any_world.start(**WISH)
    forget(any_world, checkout.id)
    assert deliver(any_world.database, failing, completed(checkout.id)) == "retrying"
    assert columns_with(any_world.database, *HER) == []
    Runner(any_world.database, handlers.handlers).retry_due(datetime.now(UTC) + timedelta(days=1))
    assert any_world.row().payment == models.PAID


def test_forgetting_before_the_checkout_is_known_holds(world: Any) -> None:
    """After a restore, say: what is told of it then is stored without her."""
    late = Handlers()

    @late.on("stripe.checkout.session.completed")
    def wait(event: Event, session: Any) -> None:
        raise NotYet(event.id)

    assert forget(world, "chk_unknown") == "done"
    assert deliver(world.database, late, completed("chk_unknown")) == "waiting"
    assert columns_with(world.database, *HER) == []


def test_session_found_by_the_sweep_does_not_bring_her_back(any_world: Any) -> None:
    checkout = any_world.start(**WISH)
    forget(any_world, checkout.id)
    any_world.stripe.sessions["cs_test_1"]["customer_details"] = DETAILS
    any_world.stripe.pay("cs_test_1")
    any_world.sweep.run(any_world.clock.advance(hours=1))
    assert any_world.row().payment == models.PAID
    [_, recovered] = outbox_events(any_world.database)
    assert recovered.object["payment_status"] == "paid"
    assert columns_with(any_world.database, *HER) == []


def test_cart_that_never_became_an_order_is_forgotten_with_the_sweep(any_world: Any, crash: Any) -> None:
    with_discount(any_world)
    any_world.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        any_world.start(discount_code="ZOE10", **WISH)
    any_world.stripe.before = lambda _: (400, {"error": {"type": "invalid_request_error", "message": "no"}})
    any_world.sweep.run(any_world.clock.advance(minutes=2))
    assert any_world.row().status == models.ABANDONED
    assert columns_with(any_world.database, *HER) == []
    assert uses(any_world.database) == [(None, models.RELEASED)]
    with pytest.raises(CheckoutExpired):
        any_world.start(discount_code="ZOE10", **WISH)


def test_start_that_is_announced_in_the_same_transaction_says_nothing_of_her(world: Any, crash: Any) -> None:
    """A session that only its webhook makes known: what that promises is gathered until the transaction's end."""
    world.stripe.after = crash.once(CREATE)
    with pytest.raises(crash.error):
        world.start(**WISH)
    checkout_id = world.row().id
    Runner(world.database, handlers.handlers).handle([completed(checkout_id), forgotten(checkout_id)])
    assert world.announced() == ["checkout.checkout.started"]
    assert columns_with(world.database, *HER) == []


def test_limit_for_each_customer_no_longer_knows_her(world: Any) -> None:
    with_discount(world)
    checkout = world.start(discount_code="ZOE10", **WISH)
    world.tell("completed", checkout.id)
    forget(world, checkout.id)
    assert world.start(key="key-2", discount_code="ZOE10", **WISH).status == models.OPEN
    with world.database.read() as session:
        assert discounts.counts(session, ["ZOE10"]) == {"ZOE10": {"used": 1, "held": 1}}
