"""How Stripe's events change a checkout's status, in any order and number."""

import itertools
from typing import Any

import pytest
from checkout import models


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("completed", models.COMPLETE),
        ("async_payment_succeeded", models.COMPLETE),
        ("async_payment_failed", models.COMPLETE),
        ("expired", models.EXPIRED),
    ],
)
def test_status_follows_stripe(any_world: Any, kind: str, status: str) -> None:
    checkout = any_world.start()
    assert any_world.tell(kind, checkout.id) == "done"
    assert any_world.row().status == status
    assert any_world.row().check_at is None
    assert any_world.announced() == ["checkout.checkout.started"]


@pytest.mark.parametrize(
    "kinds", sorted(set(itertools.permutations(["completed", "completed", "expired", "async_payment_succeeded"])))
)
def test_payment_beats_expiry_in_any_order(world: Any, kinds: tuple[str, ...]) -> None:
    checkout = world.start()
    for kind in kinds:
        world.tell(kind, checkout.id)
    assert world.row().status == models.COMPLETE


def test_expiry_does_not_undo_the_customers_own_cancellation(world: Any) -> None:
    checkout = world.start()
    world.checkouts.give_up(checkout.id)
    world.tell("expired", checkout.id)
    assert world.row().status == models.CANCELED


def test_recovered_cart_is_paid_in_another_session(world: Any) -> None:
    checkout = world.start()
    world.tell("expired", checkout.id)
    world.tell("completed", checkout.id, id="cs_test_2", recovered_from="cs_test_1")
    assert (world.row().status, world.row().session_id) == (models.COMPLETE, "cs_test_2")


def test_expiry_of_another_session_is_not_this_ones(world: Any) -> None:
    checkout = world.start()
    world.tell("expired", checkout.id, id="cs_test_2")
    assert world.row().status == models.OPEN


def test_sessions_of_others_are_ignored(world: Any) -> None:
    assert world.tell("completed", None) == "ignored"
    assert world.tell("completed", "chk_of_another_installation") == "ignored"


@pytest.mark.parametrize(("kind", "status"), [("completed", models.COMPLETE), ("expired", models.EXPIRED)])
def test_session_of_an_interrupted_request_is_adopted(any_world: Any, crash: Any, kind: str, status: str) -> None:
    any_world.stripe.after = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        any_world.start()
    any_world.tell(kind, any_world.row().id)
    any_world.tell(kind, any_world.row().id)
    assert (any_world.row().status, any_world.row().session_id) == (status, "cs_test_1")
    assert any_world.announced() == ["checkout.checkout.started"]


def test_session_of_an_abandoned_request_is_announced_as_canceled(world: Any, crash: Any) -> None:
    world.stripe.after = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        world.start()
    checkout = world.checkouts.give_up(world.row().id)
    world.tell("expired", checkout.id)
    assert world.row().status == models.ABANDONED
    assert world.announced() == ["checkout.checkout.started", "checkout.checkout.canceled"]
