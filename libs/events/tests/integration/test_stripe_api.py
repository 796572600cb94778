"""Stripe clients count each attempt by operation and outcome."""

from collections.abc import Callable

import pytest
import stripe
from events import stripe_api
from events.testing.ports import free_port
from prometheus_client import REGISTRY


@pytest.fixture
def count() -> Callable[[str, str], float]:
    """Return a function that counts the calls with this operation and outcome since the test started."""

    def total(operation: str, outcome: str) -> float:
        labels = {"operation": operation, "outcome": outcome}
        return REGISTRY.get_sample_value("clozit_stripe_calls_total", labels) or 0.0

    before: dict[tuple[str, str], float] = {}
    for case in CASES:
        before[case] = total(*case)
    return lambda operation, outcome: total(operation, outcome) - before[operation, outcome]


CASES = (("GET /v1/payment_intents/{id}", "unreachable"), ("GET /v1/checkout/sessions", "unreachable"))


def test_each_attempt_is_counted_under_its_operation(count: Callable[[str, str], float]) -> None:
    with stripe_api.closing_client("sk_test_1", f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(stripe.APIConnectionError):
            client.v1.payment_intents.retrieve("pi_3QxYzA2eZvKYlo2C")
        with pytest.raises(stripe.APIConnectionError):
            client.v1.checkout.sessions.list()

    tries = 1 + stripe_api.MAX_RETRIES
    assert [count(*case) for case in CASES] == [tries, tries]


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/checkout/sessions/cs_test_a1B2/expire", "/v1/checkout/sessions/{id}/expire"),
        ("/v1/coupons/chk_0199f3a2c4d5", "/v1/coupons/{id}"),
        ("/v1/promotion_codes", "/v1/promotion_codes"),
    ],
)
def test_operation_contains_no_object_id(path: str, operation: str) -> None:
    assert stripe_api.ID.sub("{id}", path) == operation


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (401, "unauthorized"), (403, "unauthorized"), (402, "refused"), (500, "failed")],
)
def test_answer_is_counted_by_its_meaning(status: int, outcome: str) -> None:
    assert stripe_api._outcome(status) == outcome
