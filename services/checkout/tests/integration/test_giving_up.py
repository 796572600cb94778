from typing import Any

import httpx
import pytest
from checkout import models
from checkout.problems import AlreadyPaid, CheckoutNotFound, StripeRejected, StripeUnavailable


def test_given_up_checkout_frees_the_stock_and_is_announced(any_world: Any) -> None:
    checkout = any_world.start()
    assert any_world.checkouts.give_up(checkout.id).status == models.CANCELED
    assert any_world.stripe.sessions["cs_test_1"]["status"] == "expired"
    assert any_world.inventory.reservations == {}
    assert any_world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_repeat_changes_nothing(world: Any) -> None:
    checkout = world.start()
    world.checkouts.give_up(checkout.id)
    assert world.checkouts.give_up(checkout.id).status == models.CANCELED
    assert len(world.announced()) == 2


def test_webhook_that_is_faster_than_stripes_answer_does_not_make_it_an_expiry(world: Any) -> None:
    checkout = world.start()

    def tell_first(path: str) -> None:
        if path.endswith("/expire"):
            world.tell("expired", checkout.id)

    world.stripe.after = tell_first
    assert world.checkouts.give_up(checkout.id).status == models.CANCELED
    assert world.inventory.reservations == {}
    assert world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_payment_that_was_faster_wins(any_world: Any) -> None:
    checkout = any_world.start()
    any_world.stripe.pay("cs_test_1")
    with pytest.raises(AlreadyPaid):
        any_world.checkouts.give_up(checkout.id)
    assert any_world.row().status == models.COMPLETE
    assert any_world.inventory.reservations.keys() == {checkout.id}
    assert any_world.announced() == ["checkout.checkout.started"]
    with pytest.raises(AlreadyPaid):
        any_world.checkouts.give_up(checkout.id)


def test_crash_after_stripe_had_ended_it_is_made_good_by_a_repeat(world: Any, crash: Any) -> None:
    checkout = world.start()
    world.stripe.after = crash.once("/v1/checkout/sessions/cs_test_1/expire")
    with pytest.raises(crash.error):
        world.checkouts.give_up(checkout.id)
    assert world.checkouts.give_up(checkout.id).status == models.CANCELED
    assert world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_inventory_outage_does_not_keep_it_from_ending(world: Any) -> None:
    checkout = world.start()
    world.inventory.before = lambda _: httpx.Response(503)
    assert world.checkouts.give_up(checkout.id).status == models.CANCELED


def test_stripe_outage_leaves_it_open(world: Any) -> None:
    checkout = world.start()
    world.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    with pytest.raises(StripeUnavailable):
        world.checkouts.give_up(checkout.id)
    assert world.row().status == models.OPEN


def test_refusal_for_another_reason_is_told(world: Any) -> None:
    checkout = world.start()
    refusal = (400, {"error": {"type": "invalid_request_error"}})
    world.stripe.before = lambda path: refusal if path.endswith("/expire") else None
    with pytest.raises(StripeRejected):
        world.checkouts.give_up(checkout.id)
    assert world.row().status == models.OPEN


def test_unfinished_checkout_is_given_up_to_the_sweep(world: Any, crash: Any) -> None:
    world.stripe.before = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        world.start()
    assert world.checkouts.give_up(world.row().id).status == models.ABANDONED
    world.sweep.run(world.clock.now)
    assert world.inventory.reservations == {}


def test_unknown_checkout(world: Any) -> None:
    with pytest.raises(CheckoutNotFound):
        world.checkouts.give_up("chk_nobodys")
