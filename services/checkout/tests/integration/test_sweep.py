from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from checkout import models
from checkout.checkouts import WEBHOOK_DELAY
from checkout.handlers import handlers
from checkout.problems import CheckoutExpired, StripeUnavailable
from events.testing import Bus, outbox_events

CREATE = "/v1/checkout/sessions"


def interrupt(world: Any, crash: Any, where: str = "after") -> None:
    setattr(world.stripe, where, crash.once(CREATE))
    with pytest.raises(crash.error):
        world.start()


def sweep(world: Any, **later: float) -> None:
    world.sweep.run(world.clock.advance(**later))


def test_request_that_may_still_be_repeated_is_left_alone(world: Any, crash: Any) -> None:
    interrupt(world, crash)
    sweep(world, seconds=119)
    assert world.row().status == models.NEW
    assert len(world.inventory.reservations) == 1


def test_session_of_a_dead_request_is_ended_and_its_stock_freed(any_world: Any, crash: Any) -> None:
    interrupt(any_world, crash)
    sweep(any_world, minutes=2)
    assert any_world.row().status == models.ABANDONED
    assert any_world.row().check_at is None
    assert any_world.inventory.reservations == {}
    assert [session["status"] for session in any_world.stripe.sessions.values()] == ["expired"]
    assert any_world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]
    with pytest.raises(CheckoutExpired):
        any_world.start()


def test_nothing_is_left_of_a_request_that_died_before_stripe_heard_of_it(world: Any, crash: Any) -> None:
    interrupt(world, crash, "before")
    sweep(world, minutes=4)
    assert world.row().check_at is None
    assert world.inventory.reservations == {}
    assert world.stripe.sessions == {}
    assert world.announced() == []


def test_stripe_is_not_asked_about_a_cart_that_was_never_reserved(world: Any) -> None:
    world.inventory.before = lambda _: httpx.Response(500)
    with pytest.raises(Exception, match="reserved"):
        world.start()
    world.inventory.before = lambda _: None
    sweep(world, minutes=2)
    assert world.row().status == models.ABANDONED
    assert world.stripe.calls == []


def test_interrupted_sweep_is_gone_on_with(any_world: Any, crash: Any) -> None:
    for step in (CREATE, f"{CREATE}/cs_test_1/expire"):
        any_world.stripe.after = crash.once(step)
        if step == CREATE:
            with pytest.raises(crash.error):
                any_world.start()
        sweep(any_world, minutes=10)
        sweep(any_world, minutes=10)
    assert any_world.row().check_at is None
    assert [session["status"] for session in any_world.stripe.sessions.values()] == ["expired"]
    assert any_world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_stock_is_freed_even_while_stripe_is_away(world: Any, crash: Any) -> None:
    interrupt(world, crash)
    world.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    sweep(world, minutes=2)
    assert world.inventory.reservations == {}
    assert world.row().check_at is not None
    world.clock.now = world.row().expires_at + WEBHOOK_DELAY
    sweep(world)
    assert world.row().check_at is None


def test_one_failure_does_not_stop_the_others(world: Any, crash: Any) -> None:
    for key in ("first", "second"):
        world.stripe.after = crash.once(CREATE)
        with pytest.raises(crash.error):
            world.start(key)
    world.stripe.after = crash.once(f"{CREATE}/cs_test_1/expire")
    sweep(world, minutes=2)
    with world.database.read() as session:
        left = session.query(models.Checkout).where(models.Checkout.check_at.is_not(None)).count()
    assert left == 1
    assert world.inventory.reservations == {}


def test_request_that_was_slower_than_the_sweep_leaves_nothing_behind(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reserves after the sweep has released."""
    real = world.reserving.reserve

    def slow(*args: Any) -> None:
        sweep(world, minutes=2)
        world.inventory.released.clear()
        real(*args)

    monkeypatch.setattr(world.reserving, "reserve", slow)
    with pytest.raises(CheckoutExpired):
        world.start()
    assert len(world.inventory.reservations) == 1
    sweep(world)
    assert world.inventory.reservations == {}
    assert [session["status"] for session in world.stripe.sessions.values()] in ([], ["expired"])


def test_request_that_was_slower_at_stripe_gets_no_open_session(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = world.sessions.create

    def slow(checkout: Any) -> Any:
        monkeypatch.undo()
        sweep(world, minutes=2)
        return real(checkout)

    monkeypatch.setattr(world.sessions, "create", slow)
    with pytest.raises(CheckoutExpired):
        world.start()
    assert [session["status"] for session in world.stripe.sessions.values()] == ["expired"]
    assert world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]


@pytest.mark.parametrize(
    ("outcome", "status", "fact"),
    [("complete", models.COMPLETE, "completed"), ("expired", models.EXPIRED, "expired")],
)
def test_end_whose_webhook_never_came_is_put_on_the_bus(any_world: Any, outcome: str, status: str, fact: str) -> None:
    checkout = any_world.start()
    any_world.stripe.sessions["cs_test_1"].update(status=outcome, payment_status="paid", url=None)
    any_world.clock.now = checkout.expires_at + WEBHOOK_DELAY
    sweep(any_world)
    sweep(any_world, hours=1)
    assert any_world.row().status == status
    found = [event for event in outbox_events(any_world.database) if event.is_stripe]
    assert [(event.id, event.routing_key) for event in found] == [
        (f"evt_recovered_cs_test_1_{fact}_paid", f"stripe.checkout.session.{fact}")
    ]
    assert found[0].correlation_id == checkout.id
    assert found[0].object["payment_status"] == "paid"
    Bus({"checkout": (any_world.database, handlers)}).run_until_idle()
    assert any_world.row().status == status


def test_session_within_its_time_is_not_asked_about(world: Any) -> None:
    world.clock.now = world.start().expires_at + WEBHOOK_DELAY - timedelta(seconds=1)
    calls = len(world.stripe.calls)
    sweep(world)
    assert len(world.stripe.calls) == calls


def test_session_that_stripe_holds_open_is_asked_about_again_later(world: Any) -> None:
    world.clock.now = world.start().expires_at + WEBHOOK_DELAY
    calls = len(world.stripe.calls)
    sweep(world)
    sweep(world, minutes=1)
    assert len(world.stripe.calls) == calls + 1
    sweep(world, minutes=10)
    assert len(world.stripe.calls) == calls + 2
    assert world.row().status == models.OPEN


def test_sweeps_side_by_side_settle_each_checkout_once(any_world: Any, crash: Any) -> None:
    for key in range(6):
        any_world.stripe.before = crash.once(CREATE)
        with pytest.raises(crash.error):
            any_world.start(f"key-{key}")
    now = any_world.clock.advance(minutes=2)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: any_world.sweep.run(now), range(3)))
    assert len(any_world.inventory.released) == 6
    assert any_world.inventory.reservations == {}


def test_stripe_outage_is_not_the_end_of_a_request(world: Any) -> None:
    world.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    with pytest.raises(StripeUnavailable):
        world.start()
    world.stripe.before = lambda _: None
    assert world.start().status == models.OPEN
    sweep(world, minutes=3)
    assert world.row().status == models.OPEN
