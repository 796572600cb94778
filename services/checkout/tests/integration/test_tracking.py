"""Tracking: Stripe's events set a checkout's status, in any order and with duplicates."""

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
def test_session_event_sets_the_status(any_system: Any, kind: str, status: str) -> None:
    checkout = any_system.start()
    assert any_system.deliver_session_event(kind, checkout.id) == "done"
    assert any_system.stored_checkout().status == status
    assert any_system.stored_checkout().check_at is None
    assert any_system.published_types() == ["checkout.checkout.started"]


@pytest.mark.parametrize(
    "kinds", sorted(set(itertools.permutations(["completed", "completed", "expired", "async_payment_succeeded"])))
)
def test_payment_replaces_expiry_in_any_order(system: Any, kinds: tuple[str, ...]) -> None:
    checkout = system.start()
    for kind in kinds:
        system.deliver_session_event(kind, checkout.id)
    assert system.stored_checkout().status == models.COMPLETE


def test_expiry_after_cancel_leaves_it_canceled(system: Any) -> None:
    checkout = system.start()
    system.checkouts.cancel(checkout.id)
    system.deliver_session_event("expired", checkout.id)
    assert system.stored_checkout().status == models.CANCELED


def test_recovered_cart_is_completed_by_its_new_session(system: Any) -> None:
    checkout = system.start()
    system.deliver_session_event("expired", checkout.id)
    system.deliver_session_event("completed", checkout.id, id="cs_test_2", recovered_from="cs_test_1")
    assert (system.stored_checkout().status, system.stored_checkout().session_id) == (models.COMPLETE, "cs_test_2")


def test_expiry_of_another_session_changes_nothing(system: Any) -> None:
    checkout = system.start()
    system.deliver_session_event("expired", checkout.id, id="cs_test_2")
    assert system.stored_checkout().status == models.OPEN


def test_sessions_of_other_systems_are_ignored(system: Any) -> None:
    assert system.deliver_session_event("completed", None) == "ignored"
    assert system.deliver_session_event("completed", "chk_of_another_installation") == "ignored"


@pytest.mark.parametrize(("kind", "status"), [("completed", models.COMPLETE), ("expired", models.EXPIRED)])
def test_session_of_an_interrupted_request_is_attached(any_system: Any, crash: Any, kind: str, status: str) -> None:
    any_system.stripe.after = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        any_system.start()
    any_system.deliver_session_event(kind, any_system.stored_checkout().id)
    any_system.deliver_session_event(kind, any_system.stored_checkout().id)
    assert (any_system.stored_checkout().status, any_system.stored_checkout().session_id) == (status, "cs_test_1")
    assert any_system.published_types() == ["checkout.checkout.started"]


def test_session_of_an_abandoned_request_is_published_canceled(system: Any, crash: Any) -> None:
    system.stripe.after = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        system.start()
    checkout = system.checkouts.cancel(system.stored_checkout().id)
    system.deliver_session_event("expired", checkout.id)
    assert system.stored_checkout().status == models.ABANDONED
    assert system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]
