"""Cancel: the customer ends a checkout, also when a payment, a webhook or a crash comes first."""

from typing import Any

import httpx
import pytest
from checkout import models
from checkout.errors import AlreadyPaidError, CheckoutNotFoundError, StripeAwayError, StripeRejectedError


def test_cancel_releases_the_stock_and_publishes_the_event(any_system: Any) -> None:
    checkout = any_system.start()
    assert any_system.checkouts.cancel(checkout.id).status == models.CANCELED
    assert any_system.stripe.sessions["cs_test_1"]["status"] == "expired"
    assert any_system.inventory.reservations == {}
    assert any_system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_cancel_twice_publishes_one_event(system: Any) -> None:
    checkout = system.start()
    system.checkouts.cancel(checkout.id)
    assert system.checkouts.cancel(checkout.id).status == models.CANCELED
    assert len(system.published_types()) == 2


def test_webhook_before_stripes_answer_leaves_it_canceled(system: Any) -> None:
    checkout = system.start()

    def deliver_first(path: str) -> None:
        if path.endswith("/expire"):
            system.deliver_session_event("expired", checkout.id)

    system.stripe.after = deliver_first
    assert system.checkouts.cancel(checkout.id).status == models.CANCELED
    assert system.inventory.reservations == {}
    assert system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_cancel_after_payment_leaves_it_complete(any_system: Any) -> None:
    checkout = any_system.start()
    any_system.stripe.pay("cs_test_1")
    with pytest.raises(AlreadyPaidError):
        any_system.checkouts.cancel(checkout.id)
    assert any_system.stored_checkout().status == models.COMPLETE
    assert any_system.inventory.reservations.keys() == {checkout.id}
    assert any_system.published_types() == ["checkout.checkout.started"]
    with pytest.raises(AlreadyPaidError):
        any_system.checkouts.cancel(checkout.id)


def test_cancel_after_a_crash_is_completed_by_a_repeat(system: Any, crash: Any) -> None:
    checkout = system.start()
    system.stripe.after = crash.once("/v1/checkout/sessions/cs_test_1/expire")
    with pytest.raises(crash.error):
        system.checkouts.cancel(checkout.id)
    assert system.checkouts.cancel(checkout.id).status == models.CANCELED
    assert system.published_types() == ["checkout.checkout.started", "checkout.checkout.canceled"]


def test_cancel_during_inventory_outage_succeeds(system: Any) -> None:
    checkout = system.start()
    system.inventory.before = lambda _: httpx.Response(503)
    assert system.checkouts.cancel(checkout.id).status == models.CANCELED


def test_cancel_during_stripe_outage_leaves_it_open(system: Any) -> None:
    checkout = system.start()
    system.stripe.before = lambda _: (500, {"error": {"type": "api_error"}})
    with pytest.raises(StripeAwayError):
        system.checkouts.cancel(checkout.id)
    assert system.stored_checkout().status == models.OPEN


def test_cancel_rejected_by_stripe_raises_and_leaves_it_open(system: Any) -> None:
    checkout = system.start()
    rejection = (400, {"error": {"type": "invalid_request_error"}})
    system.stripe.before = lambda path: rejection if path.endswith("/expire") else None
    with pytest.raises(StripeRejectedError):
        system.checkouts.cancel(checkout.id)
    assert system.stored_checkout().status == models.OPEN


def test_cancel_of_a_new_checkout_abandons_it(system: Any, crash: Any) -> None:
    system.stripe.before = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        system.start()
    assert system.checkouts.cancel(system.stored_checkout().id).status == models.ABANDONED
    system.sweeper.run(system.clock.now)
    assert system.inventory.reservations == {}


def test_cancel_of_an_unknown_checkout_raises(system: Any) -> None:
    with pytest.raises(CheckoutNotFoundError):
        system.checkouts.cancel("chk_unknown")
