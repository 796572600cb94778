"""A wrong API key of Stripe's: what operators and callers see, and that nothing is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from checkout.app import create_app
from checkout.stripe_sessions import StripeSessions
from events.testing.fixtures import MakeDatabase

from tests.e2e.in_process import OPERATOR, Shop


@pytest.fixture
def shop(sqlite_database: MakeDatabase) -> Shop:
    made = Shop(sqlite_database)
    made.seed(TEE=3)
    return made


def test_refund_with_a_refused_key_waits_and_says_why(shop: Shop, logged: Callable[[], str]) -> None:
    started = shop.start()
    shop.at_stripe("pay", started, method="card")
    shop.deliver_events()
    web: Any = shop.operators(api_key="wrong")
    (order,) = web.get("/orders", headers=OPERATOR).json["items"]
    path, headers = f"/orders/{order['id']}/refunds", {**OPERATOR, "Idempotency-Key": "refund-1"}
    answer = web.post(path, json={"all": True}, headers=headers)
    assert (answer.status_code, answer.json["status"]) == (202, "requested")
    assert answer.json["error"].startswith("Stripe refused the shop's API key")
    reason = "Stripe refused the shop's API key, so the refund of 19.99 EUR that zoe requested"
    assert shop.timeline()[-1] == f"{reason} waits until the key is corrected."
    assert "set STRIPE_API_KEY" in logged()


def test_cancel_with_a_refused_key_leaves_the_checkout_open(shop: Shop) -> None:
    started = shop.start()
    sessions = StripeSessions("wrong", "https://stripe.test", http_client=shop.stripe_http, retries=0)
    app = create_app(shop.config, database=shop.databases["checkout"], stripe=sessions, inventory=shop.inventory)
    answer: Any = app.test_client().post(f"/checkout/sessions/{started.id}/cancel")
    assert (answer.status_code, answer.json["type"]) == (503, "urn:clozit:problem:stripe-unauthorized")
    assert "Nothing was charged or canceled." in answer.json["detail"]
    shop.bus.run_until_idle()
    assert shop.statuses(started) == ("open", "held", "open")
