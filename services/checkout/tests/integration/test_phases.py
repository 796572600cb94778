"""The phases of a start: after any failure, a repeat with the same key makes one reservation, session and event."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from checkout import creation, models
from checkout.errors import (
    CheckoutExpiredError,
    InventoryAwayError,
    KeyReusedError,
    StripeAwayError,
)
from checkout.problems import PROBLEMS
from checkout.publishing import attach_session_and_publish
from events.testing.bus import outbox_events

CREATE = "/v1/checkout/sessions"


def assert_started_once(system: Any) -> None:
    assert len(system.inventory.reservations) == 1
    assert len(system.stripe.sessions) == 1
    assert system.published_types() == ["checkout.checkout.started"]
    assert system.stored_checkout().status == models.OPEN


def test_start_reserves_opens_and_publishes(any_system: Any) -> None:
    checkout = any_system.start(customer_email="zoe@example.com", shipping_option="standard", locale="de")
    assert_started_once(any_system)
    assert checkout.url == "https://checkout.stripe.test/cs_test_1"
    [event] = outbox_events(any_system.database)
    assert event.correlation_id == checkout.id
    assert event.data == {
        "checkout_id": checkout.id,
        "session_id": "cs_test_1",
        "livemode": False,
        "promotion_codes": False,
        "needs_shipping": True,
        "currency": "eur",
        "amount_subtotal": 4998,
        "amount_discount": 0,
        "amount_shipping": 490,
        "amount_total": 5488,
        "customer_email": "zoe@example.com",
        "locale": "de",
        "discount_code": None,
        "expires_at": checkout.expires_at,
        "shipping_options": [{"id": "standard", "name": "Standard", "amount": 490, "countries": []}],
        "lines": [{"sku": "TEE-M", "name": "T-shirt, M", "quantity": 2, "unit_amount": 2499, "amount_total": 4998}],
    }


def test_reservation_ends_after_the_session(system: Any) -> None:
    checkout = system.start()
    reservation = system.inventory.reservations[checkout.id]
    assert reservation["expires_at"] == "2026-05-04T11:33:00+00:00"
    assert checkout.expires_at.isoformat() == "2026-05-04T10:33:00+00:00"
    assert reservation["lines"] == [{"sku": "TEE-M", "quantity": 2}]


def test_repeated_key_returns_the_same_session(any_system: Any) -> None:
    assert any_system.start().id == any_system.start().id
    assert_started_once(any_system)


def test_each_request_without_a_key_starts_a_checkout(system: Any) -> None:
    assert system.start(None).id != system.start(None).id


def test_key_reused_for_another_cart_is_refused(any_system: Any) -> None:
    any_system.start()
    with pytest.raises(KeyReusedError):
        any_system.start(currency="usd")
    assert_started_once(any_system)


def test_catalog_change_between_attempts_keeps_the_snapshot(system: Any, crash: SimpleNamespace) -> None:
    system.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        system.start()
    with system.database.begin() as session:
        session.get(models.Product, "TEE-M").active = False
    assert system.start().amount_total == 5488


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(("neighbor", "path"), [("inventory", "/reservations"), ("stripe", CREATE)])
def test_repeat_after_a_crash_at_a_neighbor_completes(
    any_system: Any, crash: SimpleNamespace, neighbor: str, path: str, where: str
) -> None:
    setattr(getattr(any_system, neighbor), where, crash.once(path))
    with pytest.raises(crash.error):
        any_system.start()
    assert any_system.stored_checkout().status == models.NEW
    any_system.clock.advance(seconds=30)
    any_system.start()
    assert_started_once(any_system)


@pytest.mark.parametrize("phase", ["_reserve", "_open"])
@pytest.mark.parametrize("is_done", [False, True])
def test_repeat_after_a_crash_around_a_transaction_completes(
    any_system: Any, crash: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, phase: str, is_done: bool
) -> None:
    real = getattr(any_system.checkouts, phase)

    def dying(*args: Any) -> None:
        if is_done:
            real(*args)
        raise crash.error

    with monkeypatch.context() as patched:
        patched.setattr(any_system.checkouts, phase, dying)
        with pytest.raises(crash.error):
            any_system.start()
    any_system.start()
    assert_started_once(any_system)


def test_crash_in_the_last_transaction_publishes_nothing(
    any_system: Any, crash: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*args: Any) -> None:
        attach_session_and_publish(*args)
        raise crash.error

    with monkeypatch.context() as patched:
        patched.setattr("checkout.checkouts.attach_session_and_publish", dying)
        with pytest.raises(crash.error):
            any_system.start()
    assert any_system.published_types() == []
    any_system.start()
    assert_started_once(any_system)


def test_concurrent_requests_with_one_key_start_one_checkout(any_system: Any) -> None:
    with ThreadPoolExecutor(4) as threads:
        checkouts = list(threads.map(lambda _: any_system.start(), range(8)))
    assert len({(checkout.id, checkout.session_id) for checkout in checkouts}) == 1
    assert_started_once(any_system)


def test_key_stored_by_a_concurrent_request_returns_its_checkout(
    any_system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both requests find no row for the key. The second one's insert conflicts with the first one's row."""
    any_system.start()
    real, calls = creation._find_by_key, []

    def late(*args: Any) -> Any:
        calls.append(args)
        return None if len(calls) == 1 else real(*args)

    monkeypatch.setattr(creation, "_find_by_key", late)
    any_system.start()
    assert_started_once(any_system)


@pytest.mark.parametrize("status", [500, 503])
def test_inventory_outage_is_reported_and_can_be_repeated(system: Any, status: int) -> None:
    system.inventory.before = lambda _: httpx.Response(status)
    with pytest.raises(InventoryAwayError) as raised:
        system.start()
    problem = PROBLEMS[type(raised.value)](raised.value)
    assert (problem.status, problem.headers) == (503, {"Retry-After": "5"})
    system.inventory.before = lambda _: None
    system.start()
    assert_started_once(system)


@pytest.mark.parametrize("status", [429, 500])
def test_stripe_outage_is_reported_and_can_be_repeated(system: Any, status: int) -> None:
    system.stripe.before = lambda _: (status, {"error": {"type": "api_error", "message": "no"}})
    with pytest.raises(StripeAwayError) as raised:
        system.start()
    assert PROBLEMS[type(raised.value)](raised.value).status == 503
    system.stripe.before = lambda _: None
    system.start()
    assert_started_once(system)


def test_checkout_after_the_resume_window_is_not_resumed(system: Any, crash: Any) -> None:
    system.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        system.start()
    system.clock.advance(minutes=2)
    with pytest.raises(CheckoutExpiredError):
        system.start()


def test_key_of_an_ended_session_is_refused(system: Any) -> None:
    checkout = system.start()
    system.clock.now = checkout.expires_at
    with pytest.raises(CheckoutExpiredError):
        system.start()


@pytest.mark.parametrize("status", [models.EXPIRED, models.CANCELED, models.ABANDONED])
def test_key_of_an_ended_checkout_is_refused(system: Any, status: str) -> None:
    checkout_id = system.start().id
    with system.database.begin() as session:
        session.get(models.Checkout, checkout_id).status = status
    with pytest.raises(CheckoutExpiredError):
        system.start()


def test_key_of_a_complete_checkout_returns_it(system: Any) -> None:
    checkout_id = system.start().id
    with system.database.begin() as session:
        session.get(models.Checkout, checkout_id).complete("cs_test_1")
    assert system.start().id == checkout_id


def test_repeat_after_stripe_forgot_the_keys_keeps_the_coupon(system: Any, crash: Any) -> None:
    with system.database.begin() as session:
        session.add(models.Discount(code="SPRING", percent_off=10, amounts_off=None, active=True))
    system.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        system.start(discount_code="SPRING")
    system.stripe.answers.clear()
    checkout = system.start(discount_code="SPRING")
    assert (checkout.amount_discount, checkout.amount_total) == (500, 4988)
    assert system.stripe.coupons[checkout.id]["amount_off"] == "500"
    assert system.stripe.params[-1]["discounts"] == {"0": {"coupon": checkout.id}}


def test_longest_session_ends_within_stripes_maximum(system: Any, config: Any) -> None:
    object.__setattr__(config, "checkout_session_minutes", 24 * 60)
    checkout = system.start()
    assert (checkout.expires_at - system.clock.now).total_seconds() == 24 * 3600 - 60
