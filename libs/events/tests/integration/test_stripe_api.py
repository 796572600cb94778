"""Stripe clients count each attempt by operation and outcome."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from wsgiref.simple_server import make_server

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


CASES = (
    ("GET /v1/payment_intents/{id}", "unreachable"),
    ("GET /v1/checkout/sessions", "unreachable"),
    ("GET /v1/balance", "rejected"),
)


def test_each_attempt_is_counted_under_its_operation(count: Callable[[str, str], float]) -> None:
    with stripe_api.closing_client("sk_test_1", f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(stripe.APIConnectionError):
            client.v1.payment_intents.retrieve("pi_3QxYzA2eZvKYlo2C")
        with pytest.raises(stripe.APIConnectionError):
            client.v1.checkout.sessions.list()

    tries = 1 + stripe_api.MAX_RETRIES
    assert [count(*case) for case in CASES[:2]] == [tries, tries]


def test_calls_beyond_the_limit_are_rejected_at_once(count: Callable[[str, str], float]) -> None:
    """A Stripe that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(stripe_api.MAX_CONCURRENT_CALLS) as pool:
        client = stripe_api.client("sk_test_1", f"http://127.0.0.1:{silent.getsockname()[1]}", retries=0)
        hanging = [pool.submit(client.v1.balance.retrieve) for _ in range(stripe_api.MAX_CONCURRENT_CALLS)]
        accepted = [silent.accept()[0] for _ in hanging]
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(stripe.APIConnectionError, match="unanswered"):
                client.v1.balance.retrieve()
            assert time.monotonic() - began < stripe_api.TIMEOUT_S / 2
        assert count("GET /v1/balance", "rejected") == 3
        for connection in accepted:
            connection.close()
        assert all(isinstance(call.exception(), stripe.APIConnectionError) for call in hanging)
        again = pool.submit(client.v1.balance.retrieve)
        silent.accept()[0].close()
        assert "unanswered" not in str(again.exception())


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


def test_answer_has_no_text_that_databases_cannot_store() -> None:
    def answer(environ: object, start_response: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [rb'{"id": "pi_1", "object": "payment_intent", "description": "Zo\u0000\ud800e"}']

    with make_server("127.0.0.1", 0, answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with stripe_api.closing_client("sk_test_1", f"http://127.0.0.1:{server.server_port}") as client:
            assert client.v1.payment_intents.retrieve("pi_1").description == "Zoe"
        thread.join()
