"""The sweeper: cleans up dead requests, and records what lost webhooks would have reported."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from checkout import models
from checkout.checkouts import WEBHOOK_DELAY
from checkout.errors import CheckoutExpiredError, InventoryAwayError, StripeAwayError
from checkout.handlers import handlers
from events.testing.bus import Bus, outbox_events

CREATE = "/v1/checkout/sessions"


def interrupt_start(system: Any, crash: Any, where: str = "after") -> None:
    setattr(system.stripe, where, crash.once(CREATE))
    with pytest.raises(crash.error):
        system.start()


def sweep(system: Any, **later: float) -> None:
    system.sweeper.run(system.clock.advance(**later))


def test_new_checkout_within_the_resume_window_is_kept(system: Any, crash: Any) -> None:
    interrupt_start(system, crash)
    sweep(system, seconds=119)
    assert system.stored_checkout().status == models.NEW
    assert len(system.inventory.reservations) == 1


def test_session_of_a_dead_request_is_expired_and_stock_released(any_system: Any, crash: Any) -> None:
    interrupt_start(any_system, crash)
    sweep(any_system, minutes=2)
    assert any_system.stored_checkout().status == models.ABANDONED
    assert any_system.stored_checkout().check_at is None
    assert any_system.inventory.reservations == {}
    assert [session["status"] for session in any_system.stripe.sessions.values()] == ["expired"]
    assert any_system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]
    with pytest.raises(CheckoutExpiredError):
        any_system.start()


def test_request_that_died_before_stripe_leaves_nothing(system: Any, crash: Any) -> None:
    interrupt_start(system, crash, "before")
    sweep(system, minutes=4)
    assert system.stored_checkout().check_at is None
    assert system.inventory.reservations == {}
    assert system.stripe.sessions == {}
    assert system.published_types() == []


def test_unreserved_checkout_is_abandoned_without_asking_stripe(system: Any) -> None:
    system.inventory.before = lambda _: httpx.Response(500)
    with pytest.raises(InventoryAwayError):
        system.start()
    system.inventory.before = lambda _: None
    sweep(system, minutes=2)
    assert system.stored_checkout().status == models.ABANDONED
    assert system.stripe.calls == []


def test_interrupted_cleanup_is_continued_by_the_next_sweep(any_system: Any, crash: Any) -> None:
    for step in (CREATE, f"{CREATE}/cs_test_1/expire"):
        any_system.stripe.after = crash.once(step)
        if step == CREATE:
            with pytest.raises(crash.error):
                any_system.start()
        sweep(any_system, minutes=10)
        sweep(any_system, minutes=10)
    assert any_system.stored_checkout().check_at is None
    assert [session["status"] for session in any_system.stripe.sessions.values()] == ["expired"]
    assert any_system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_stock_is_released_during_a_stripe_outage(system: Any, crash: Any) -> None:
    interrupt_start(system, crash)
    system.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    sweep(system, minutes=2)
    assert system.inventory.reservations == {}
    assert system.stored_checkout().check_at is not None
    system.clock.now = system.stored_checkout().expires_at + WEBHOOK_DELAY
    sweep(system)
    assert system.stored_checkout().check_at is None


def test_failing_checkout_does_not_stop_the_sweep(system: Any, crash: Any) -> None:
    for key in ("first", "second"):
        system.stripe.after = crash.once(CREATE)
        with pytest.raises(crash.error):
            system.start(key)
    system.stripe.after = crash.once(f"{CREATE}/cs_test_1/expire")
    sweep(system, minutes=2)
    with system.database.read() as session:
        due = session.query(models.Checkout).where(models.Checkout.check_at.is_not(None)).count()
    assert due == 1
    assert system.inventory.reservations == {}


def test_reservation_made_after_the_sweep_is_released(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = system.inventory_client.reserve

    def slow(*args: Any) -> None:
        sweep(system, minutes=2)
        system.inventory.released.clear()
        real(*args)

    monkeypatch.setattr(system.inventory_client, "reserve", slow)
    with pytest.raises(CheckoutExpiredError):
        system.start()
    assert len(system.inventory.reservations) == 1
    sweep(system)
    assert system.inventory.reservations == {}
    assert [session["status"] for session in system.stripe.sessions.values()] in ([], ["expired"])


def test_session_made_after_the_sweep_is_expired(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = system.stripe_sessions.create

    def slow(checkout: Any) -> Any:
        monkeypatch.undo()
        sweep(system, minutes=2)
        return real(checkout)

    monkeypatch.setattr(system.stripe_sessions, "create", slow)
    with pytest.raises(CheckoutExpiredError):
        system.start()
    assert [session["status"] for session in system.stripe.sessions.values()] == ["expired"]
    assert system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]


@pytest.mark.parametrize(
    ("outcome", "status", "fact"),
    [("complete", models.COMPLETE, "completed"), ("expired", models.EXPIRED, "expired")],
)
def test_end_without_webhook_is_recorded_and_published(any_system: Any, outcome: str, status: str, fact: str) -> None:
    checkout = any_system.start()
    any_system.stripe.sessions["cs_test_1"].update(status=outcome, payment_status="paid", url=None)
    any_system.clock.now = checkout.expires_at + WEBHOOK_DELAY
    sweep(any_system)
    sweep(any_system, hours=1)
    assert any_system.stored_checkout().status == status
    recovered = [event for event in outbox_events(any_system.database) if event.is_stripe]
    assert [(event.id, event.routing_key) for event in recovered] == [
        (f"evt_recovered_cs_test_1_{fact}_paid", f"stripe.checkout.session.{fact}")
    ]
    assert recovered[0].correlation_id == checkout.id
    assert recovered[0].object["payment_status"] == "paid"
    Bus({"checkout": (any_system.database, handlers)}).run_until_idle()
    assert any_system.stored_checkout().status == status


def test_session_before_its_end_is_not_checked(system: Any) -> None:
    system.clock.now = system.start().expires_at + WEBHOOK_DELAY - timedelta(seconds=1)
    calls = len(system.stripe.calls)
    sweep(system)
    assert len(system.stripe.calls) == calls


def test_session_still_open_at_stripe_is_checked_again_later(system: Any) -> None:
    system.clock.now = system.start().expires_at + WEBHOOK_DELAY
    calls = len(system.stripe.calls)
    sweep(system)
    sweep(system, minutes=1)
    assert len(system.stripe.calls) == calls + 1
    sweep(system, minutes=10)
    assert len(system.stripe.calls) == calls + 2
    assert system.stored_checkout().status == models.OPEN


def test_concurrent_sweeps_clean_up_each_checkout_once(any_system: Any, crash: Any) -> None:
    for key in range(6):
        any_system.stripe.before = crash.once(CREATE)
        with pytest.raises(crash.error):
            any_system.start(f"key-{key}")
    now = any_system.clock.advance(minutes=2)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: any_system.sweeper.run(now), range(3)))
    assert len(any_system.inventory.released) == 6
    assert any_system.inventory.reservations == {}


def test_request_interrupted_by_stripe_outage_is_completed(system: Any) -> None:
    system.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    with pytest.raises(StripeAwayError):
        system.start()
    system.stripe.before = lambda _: None
    assert system.start().status == models.OPEN
    sweep(system, minutes=3)
    assert system.stored_checkout().status == models.OPEN
