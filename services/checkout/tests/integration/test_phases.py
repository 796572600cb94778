"""Whatever breaks between two phases, a repeat with the same key ends in one reservation, one session, one event."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from checkout import models
from checkout.announcements import record_session
from checkout.problems import (
    AmountTooSmall,
    CheckoutExpired,
    InventoryUnavailable,
    OutOfStock,
    StripeRejected,
    StripeUnavailable,
)
from events.testing import outbox_events
from events.web.problems import Problem

CREATE = "/v1/checkout/sessions"


def assert_made_once(world: Any) -> None:
    assert len(world.inventory.reservations) == 1
    assert len(world.stripe.sessions) == 1
    assert world.announced() == ["checkout.checkout.started"]
    assert world.row().status == models.OPEN


def test_checkout_is_reserved_opened_and_announced(any_world: Any) -> None:
    checkout = any_world.start(customer_email="zoe@example.com", shipping_option="standard", locale="de")
    assert_made_once(any_world)
    assert checkout.url == "https://checkout.stripe.test/cs_test_1"
    [event] = outbox_events(any_world.database)
    assert event.correlation_id == checkout.id
    assert event.data == {
        "checkout_id": checkout.id,
        "session_id": "cs_test_1",
        "livemode": False,
        "promotion_codes": False,
        "currency": "eur",
        "amount_subtotal": 4998,
        "amount_discount": 0,
        "amount_shipping": 490,
        "amount_total": 5488,
        "customer_email": "zoe@example.com",
        "locale": "de",
        "discount_code": None,
        "expires_at": checkout.expires_at,
        "lines": [{"sku": "TEE-M", "name": "T-shirt, M", "quantity": 2, "unit_amount": 2499, "amount_total": 4998}],
    }


def test_stock_is_held_for_longer_than_the_session(world: Any) -> None:
    checkout = world.start()
    held = world.inventory.reservations[checkout.id]
    assert held["expires_at"] == "2026-05-04T11:33:00+00:00"
    assert checkout.expires_at.isoformat() == "2026-05-04T10:33:00+00:00"
    assert held["lines"] == [{"sku": "TEE-M", "quantity": 2}]


def test_same_key_gets_the_same_session(any_world: Any) -> None:
    assert any_world.start().id == any_world.start().id
    assert_made_once(any_world)


def test_without_a_key_every_request_is_a_checkout(world: Any) -> None:
    assert world.start(None).id != world.start(None).id


def test_same_key_for_another_cart_is_refused(any_world: Any) -> None:
    any_world.start()
    with pytest.raises(Problem) as refused:
        any_world.start(currency="usd")
    assert refused.value.kind == "idempotency-key-reused"
    assert_made_once(any_world)


def test_price_change_between_two_tries_does_not_change_what_was_agreed(world: Any, crash: SimpleNamespace) -> None:
    world.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        world.start()
    with world.database.begin() as session:
        session.get(models.Product, "TEE-M").active = False
    assert world.start().amount_total == 5488


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(("neighbour", "path"), [("inventory", "/reservations"), ("stripe", CREATE)])
def test_repeat_goes_on_after_a_crash_at_a_neighbour(
    any_world: Any, crash: SimpleNamespace, neighbour: str, path: str, where: str
) -> None:
    setattr(getattr(any_world, neighbour), where, crash.once(path))
    with pytest.raises(crash.error):
        any_world.start()
    assert any_world.row().status == models.NEW
    any_world.clock.advance(seconds=30)
    any_world.start()
    assert_made_once(any_world)


@pytest.mark.parametrize("phase", ["_reserve", "_open"])
@pytest.mark.parametrize("is_done", [False, True])
def test_repeat_goes_on_after_a_crash_around_a_transaction(
    any_world: Any, crash: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, phase: str, is_done: bool
) -> None:
    real = getattr(any_world.checkouts, phase)

    def dying(*args: Any) -> None:
        if is_done:
            real(*args)
        raise crash.error

    with monkeypatch.context() as patched:
        patched.setattr(any_world.checkouts, phase, dying)
        with pytest.raises(crash.error):
            any_world.start()
    any_world.start()
    assert_made_once(any_world)


def test_crash_within_the_last_transaction_announces_nothing_twice(
    any_world: Any, crash: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*args: Any) -> None:
        record_session(*args)
        raise crash.error

    with monkeypatch.context() as patched:
        patched.setattr("checkout.checkouts.record_session", dying)
        with pytest.raises(crash.error):
            any_world.start()
    assert any_world.announced() == []
    any_world.start()
    assert_made_once(any_world)


def test_many_threads_with_one_key_make_one_checkout(any_world: Any) -> None:
    with ThreadPoolExecutor(4) as threads:
        checkouts = list(threads.map(lambda _: any_world.start(), range(8)))
    assert len({(checkout.id, checkout.session_id) for checkout in checkouts}) == 1
    assert_made_once(any_world)


def test_key_that_another_request_is_just_storing(any_world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen that the key is free; the second one's insert meets the first one's row."""
    from checkout import agreements

    any_world.start()
    real, calls = agreements._by_key, []

    def late(*args: Any) -> Any:
        calls.append(args)
        return None if len(calls) == 1 else real(*args)

    monkeypatch.setattr(agreements, "_by_key", late)
    any_world.start()
    assert_made_once(any_world)


def test_sold_out_cart_is_told_and_a_repeat_tries_again(world: Any) -> None:
    world.inventory.stock["TEE-M"] = 1
    with pytest.raises(OutOfStock) as raised:
        world.start()
    assert raised.value.members["lines"] == [{"sku": "TEE-M", "requested": 2, "available": 1}]
    assert world.stripe.sessions == {}
    world.inventory.stock["TEE-M"] = 2
    world.start()
    assert_made_once(world)


@pytest.mark.parametrize("status", [500, 503])
def test_inventory_outage_passes(world: Any, status: int) -> None:
    world.inventory.before = lambda _: httpx.Response(status)
    with pytest.raises(InventoryUnavailable) as raised:
        world.start()
    assert raised.value.status == 503
    assert raised.value.headers == {"Retry-After": "5"}
    world.inventory.before = lambda _: None
    world.start()
    assert_made_once(world)


@pytest.mark.parametrize("status", [429, 500])
def test_stripe_outage_passes(world: Any, status: int) -> None:
    world.stripe.before = lambda _: (status, {"error": {"type": "api_error", "message": "no"}})
    with pytest.raises(StripeUnavailable) as raised:
        world.start()
    assert raised.value.status == 503
    world.stripe.before = lambda _: None
    world.start()
    assert_made_once(world)


def test_refusal_by_stripe_is_told(world: Any) -> None:
    world.stripe.before = lambda _: (400, {"error": {"type": "invalid_request_error", "code": "parameter_invalid"}})
    with pytest.raises(StripeRejected) as raised:
        world.start()
    assert raised.value.status == 502


def test_minimum_that_only_stripe_knows_is_told_as_ours_are(world: Any) -> None:
    world.stripe.before = lambda _: (400, {"error": {"type": "invalid_request_error", "code": "amount_too_small"}})
    with pytest.raises(AmountTooSmall, match=r"54\.88 EUR. So little cannot be charged"):
        world.start()


def test_unfinished_checkout_is_not_resumed_when_stripe_could_no_longer_take_it(world: Any, crash: Any) -> None:
    world.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        world.start()
    world.clock.advance(minutes=2)
    with pytest.raises(CheckoutExpired):
        world.start()


def test_session_that_has_ended_is_not_handed_out_again(world: Any) -> None:
    checkout = world.start()
    world.clock.now = checkout.expires_at
    with pytest.raises(CheckoutExpired):
        world.start()


@pytest.mark.parametrize("status", [models.EXPIRED, models.CANCELED, models.ABANDONED])
def test_key_of_an_ended_checkout_starts_nothing(world: Any, status: str) -> None:
    checkout_id = world.start().id
    with world.database.begin() as session:
        session.get(models.Checkout, checkout_id).status = status
    with pytest.raises(CheckoutExpired):
        world.start()


def test_key_of_a_paid_checkout_still_answers_with_it(world: Any) -> None:
    checkout_id = world.start().id
    with world.database.begin() as session:
        session.get(models.Checkout, checkout_id).complete("cs_test_1")
    assert world.start().id == checkout_id


def test_discounted_session_repeats_after_stripe_forgot_the_keys(world: Any, crash: Any) -> None:
    with world.database.begin() as session:
        session.add(models.Discount(code="SPRING", percent_off=10, amounts_off=None, active=True))
    world.stripe.before = crash.once(CREATE)
    with pytest.raises(crash.error):
        world.start(discount_code="SPRING")
    world.stripe.answers.clear()
    checkout = world.start(discount_code="SPRING")
    assert (checkout.amount_discount, checkout.amount_total) == (500, 4988)
    assert world.stripe.coupons[checkout.id]["amount_off"] == "500"
    assert world.stripe.params[-1]["discounts"] == {"0": {"coupon": checkout.id}}


def test_longest_sessions_stay_within_stripes_day(world: Any, config: Any) -> None:
    object.__setattr__(config, "session_minutes", 24 * 60)
    checkout = world.start()
    assert (checkout.expires_at - world.clock.now).total_seconds() == 24 * 3600 - 60
