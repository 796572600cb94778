"""A checkout that cannot be started gives back everything at once, and its key may begin again."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from checkout import models
from checkout.errors import (
    AmountTooLargeError,
    AmountTooSmallError,
    InvalidCartError,
    OutOfStockError,
    StripeRejectedError,
    StripeUnauthorizedError,
)
from checkout.models import Checkout, Discount, DiscountUse
from checkout.problems import PROBLEMS
from checkout.worker import create_worker
from events.clock import utcnow
from events.database import chunks
from events.messaging import publisher

ERROR = {"type": "invalid_request_error", "message": "no"}


@pytest.fixture
def once(any_system: Any) -> Any:
    """The system with a discount that can be used once."""
    with any_system.database.begin() as session:
        session.add(Discount(code="ONCE", percent_off=10, limit_total=1, active=True))
    return any_system


def refuse(system: Any, status: int, **error: Any) -> None:
    def answer(path: str) -> Any:
        return (status, {"error": ERROR | error}) if path == "/v1/checkout/sessions" else None

    system.stripe.before = answer


def assert_given_back(system: Any) -> None:
    """Assert that nothing is held, before any sweep; and that the same key begins again."""
    assert system.inventory.reservations == {}
    with system.database.read() as session:
        [abandoned] = session.query(Checkout).all()
        assert [use.status for use in session.query(DiscountUse)] == [models.RELEASED]
    assert (abandoned.status, abandoned.idempotency_key) == (models.ABANDONED, None)
    system.stripe.before = lambda _: None
    started = system.start(discount_code="ONCE")
    assert (started.status, started.id != abandoned.id) == (models.OPEN, True)
    assert list(system.inventory.reservations) == [started.id]
    assert system.published_types() == ["checkout.checkout.started"]
    system.sweeper.run(system.clock())
    assert list(system.inventory.reservations) == [started.id]
    assert list(system.stripe.coupons) == [started.id]
    assert system.published_types() == ["checkout.checkout.started"]


def test_out_of_stock_gives_back_the_discount(once: Any) -> None:
    once.inventory.stock["TEE-M"] = 1
    with pytest.raises(OutOfStockError) as raised:
        once.start(discount_code="ONCE")
    assert raised.value.lines == [{"sku": "TEE-M", "requested": 2, "available": 1}]
    once.inventory.stock["TEE-M"] = 2
    assert_given_back(once)


def test_refusal_by_stripe_gives_back_stock_and_discount(once: Any) -> None:
    refuse(once, 400, code="parameter_invalid")
    with pytest.raises(StripeRejectedError) as raised:
        once.start(discount_code="ONCE")
    assert PROBLEMS[type(raised.value)](raised.value).status == 502
    assert_given_back(once)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_is_our_fault(once: Any, status: int, caplog: Any) -> None:
    refuse(once, status)
    with pytest.raises(StripeUnauthorizedError) as raised, caplog.at_level(logging.ERROR):
        once.start(discount_code="ONCE")
    problem = PROBLEMS[type(raised.value)](raised.value)
    assert (problem.status, problem.kind) == (503, "stripe-unauthorized")
    assert_given_back(once)


@pytest.mark.parametrize(
    ("code", "error"), [("amount_too_small", AmountTooSmallError), ("amount_too_large", AmountTooLargeError)]
)
def test_limit_known_only_to_stripe_is_named(once: Any, code: str, error: type[Exception]) -> None:
    refuse(once, 400, code=code)
    with pytest.raises(error) as raised:
        once.start(discount_code="ONCE")
    problem = PROBLEMS[type(raised.value)](raised.value)  # type: ignore[index]
    assert (problem.status, problem.kind) == (422, code.replace("_", "-"))
    assert_given_back(once)


@pytest.mark.parametrize(
    ("param", "field"),
    [
        ("customer_email", ["customer_email"]),
        ("success_url", ["success_url"]),
        ("locale", ["locale"]),
        ("discounts[0][coupon]", ["discount_code"]),
        ("shipping_options[0][shipping_rate_data][fixed_amount]", ["shipping_option"]),
        ("line_items[0][price_data][product_data][images][0]", ["items", "0", "sku"]),
        ("line_items[0][quantity]", ["items", "0", "quantity"]),
    ],
)
def test_parameter_that_stripe_refuses_names_the_field(once: Any, param: str, field: list[str]) -> None:
    refuse(once, 400, param=param)
    with pytest.raises(InvalidCartError) as raised:
        once.start(discount_code="ONCE")
    errors = raised.value.errors
    for name in field:
        errors = errors[name]
    assert PROBLEMS[type(raised.value)](raised.value).status == 422
    assert_given_back(once)


def test_canceled_request_releases_its_stock_at_once(system: Any, crash: Any) -> None:
    system.stripe.before = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        system.start()
    system.checkouts.cancel(system.stored_checkout().id)
    assert system.inventory.reservations == {}


def test_coupon_ends_with_its_session(once: Any) -> None:
    canceled = once.start(discount_code="ONCE")
    once.checkouts.cancel(canceled.id)
    once.sweeper.run(once.clock())
    assert once.stripe.coupons == {}
    paid = once.start("key-2", discount_code="ONCE")
    once.deliver_session_event("completed", paid.id, id=paid.session_id)
    once.stripe.before = lambda path: (500, {"error": ERROR}) if "/coupons/" in path else None
    once.sweeper.run(once.clock())
    assert list(once.stripe.coupons) == [paid.id]
    once.stripe.before = lambda _: None
    once.sweeper.run(once.clock.advance(hours=1))
    assert once.stripe.coupons == {}


@pytest.mark.parametrize(("allow_recovery", "days"), [(True, 31), (False, 0)])
def test_coupon_of_an_expired_session_lives_as_long_as_its_link(once: Any, allow_recovery: bool, days: int) -> None:
    object.__setattr__(once.config, "allow_recovery", allow_recovery)
    checkout = once.start(discount_code="ONCE")
    assert once.stripe.params[-1].get("after_expiration") == (
        {"recovery": {"enabled": "true"}} if allow_recovery else None
    )
    once.stripe.sessions[checkout.session_id].update(status="expired", url=None)
    once.deliver_session_event("expired", checkout.id, id=checkout.session_id)
    once.clock.now = checkout.expires_at
    once.sweeper.run(once.clock.advance(days=days, minutes=-1))
    assert list(once.stripe.coupons) == [checkout.id]
    once.sweeper.run(once.clock.advance(hours=2))
    assert once.stripe.coupons == {}


def prune(system: Any) -> None:
    """Run the worker's job, as it runs eight days after the system's clock."""
    worker = create_worker(
        system.config,
        database=system.database,
        stripe=system.stripe_sessions,
        inventory=system.inventory_client,
        broker=publisher.connect("memory://"),
    )
    next(loop for loop in worker.loops if loop.name == "prune-abandoned").run()
    worker.stop()


def test_checkout_that_never_began_is_pruned_after_a_week(once: Any, crash: Any, monkeypatch: Any) -> None:
    """Refused carts go with their discount's use; what Stripe may know stays, also if it was canceled."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 1)
    client = once.create_app().test_client()

    def post(key: str, quantity: int, **fields: Any) -> Any:
        body = {"items": [{"sku": "TEE-M", "quantity": quantity}], **fields}
        return client.post("/checkout/sessions", json=body, headers={"Idempotency-Key": key})

    once.clock.now = utcnow() - timedelta(days=6)
    assert post("recent", 9).status_code == 409
    once.clock.now = utcnow() - timedelta(days=8)
    assert [post(f"refused-{n}", 9, discount_code="ONCE").status_code for n in range(3)] == [409] * 3
    canceled = post("canceled", 1).json["checkout_id"]
    assert client.post(f"/checkout/sessions/{canceled}/cancel").status_code == 200
    once.stripe.before = crash.once("/v1/checkout/sessions")
    with pytest.raises(crash.error):
        once.start("crashed")
    refuse(once, 400)  # the sweeper learns of no session
    prune(once)
    assert count(once) == 6, "the sweeper has not cleaned up yet"
    once.sweeper.run(utcnow())
    prune(once)
    with once.database.read() as session:
        kept = {row.idempotency_key: row.status for row in session.query(Checkout)}
        assert session.query(DiscountUse).count() == 0
    assert kept == {None: models.ABANDONED, "canceled": models.CANCELED, "crashed": models.ABANDONED}
    assert once.deliver_session_event("expired", canceled, id="cs_test_1") == "done"


def count(system: Any) -> int:
    with system.database.read() as session:
        found: int = session.query(Checkout).count()
    return found
