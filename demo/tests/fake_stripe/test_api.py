import concurrent.futures
import threading
from typing import Any

import httpx
import pytest
import stripe

from demo.fake_stripe import FakeStripe, forms

from .conftest import Sell

KEY = {"Authorization": "Bearer sk_test_made_up"}


def test_forms_nest() -> None:
    pairs = [("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("expand[]", "x"), ("expand[]", "y"), ("plain", "z")]
    assert forms.parse(pairs) == {"a": {"b": [{"c": "1"}, {"c": "2"}]}, "expand": ["x", "y"], "plain": "z"}


def test_unknown_parameters_are_refused(fake: FakeStripe, sell: Sell) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        sell(foo="bar")
    assert (raised.value.code, raised.value.param) == ("parameter_unknown", "foo")
    answer = httpx.post(f"{fake.url}/v1/refunds", data={"foo": "1"}, headers=KEY)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == "Received unknown parameter: foo"
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"success_url": None}, "success_url"),
        ({"line_items": None}, "line_items"),
        ({"mode": "subscription"}, "mode"),
        ({"customer_email": "nobody"}, "customer_email"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0]"),
        ({"payment_intent_data": {"colour": "red"}}, "payment_intent_data[colour]"),
    ],
)
def test_wrong_parameters_are_named(sell: Sell, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        sell(**changes)
    assert raised.value.param == param


def test_amounts_are_integers_of_one_currency(sell: Sell, cart: dict[str, Any]) -> None:
    line = cart["line_items"][0]
    fraction = {**line, "price_data": {**line["price_data"], "unit_amount": "19.99"}}
    with pytest.raises(stripe.InvalidRequestError) as raised:
        sell(line_items=[fraction])
    assert raised.value.code == "parameter_invalid_integer"
    dollars = {**line, "price_data": {**line["price_data"], "currency": "usd"}}
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        sell(line_items=[line, dollars])


def test_only_test_keys_are_let_in(fake: FakeStripe) -> None:
    for key in ("sk_live_real", "nonsense"):
        client = stripe.StripeClient(key, base_addresses={"api": fake.url})
        with pytest.raises(stripe.AuthenticationError):
            client.v1.products.list()
    assert httpx.get(f"{fake.url}/v1/products").status_code == 401
    assert httpx.get(f"{fake.url}/v1/products", auth=("sk_test_x", "")).status_code == 200


def test_what_does_not_exist_is_not_found(client: stripe.StripeClient, fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.charges.retrieve("ch_none")
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")
    assert httpx.get(f"{fake.url}/v1/unicorns", headers=KEY).json()["error"]["type"] == "invalid_request_error"


def test_an_idempotency_key_replays_its_answer(sell: Sell) -> None:
    first = sell({"idempotency_key": "key-1"})
    again = sell({"idempotency_key": "key-1"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as raised:
        sell({"idempotency_key": "key-1"}, client_reference_id="another")
    assert raised.value.http_status == 400


def test_a_key_is_forgotten_after_a_day(fake: FakeStripe, sell: Sell) -> None:
    options = {"idempotency_key": "key-old"}
    first = sell(options)
    fake.advance(23 * 3600)
    assert sell(options).id == first.id
    fake.advance(2 * 3600)
    assert sell(options).id != first.id


def test_a_refused_parameter_does_not_use_up_the_key(sell: Sell) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        sell({"idempotency_key": "key-2"}, foo="bar")
    assert sell({"idempotency_key": "key-2"}).id


class Announced(threading.Event):
    """Tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.awaited.set()
        return super().wait(timeout)


def test_a_key_in_use_is_a_conflict(fake: FakeStripe, sell: Sell) -> None:
    fake.add_fault("api_timeout", performed=False, seconds=30, path="/v1/checkout/sessions")
    fake.account.stopping = waits = Announced()
    options = {"idempotency_key": "key-3"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(sell, options)
        assert waits.awaited.wait(10)
        with pytest.raises(stripe.APIError) as raised:
            sell(options)
        waits.set()
        assert isinstance(slow.exception(), stripe.APIError)
    assert raised.value.http_status == 409


def test_updates_merge_metadata(client: stripe.StripeClient, sell: Sell) -> None:
    session = sell()
    updated = client.v1.checkout.sessions.update(session.id, {"metadata": {"note": "gift"}})
    assert updated.metadata is not None
    assert updated.metadata.to_dict() == {"checkout_id": "chk_1", "note": "gift"}
    cleared = client.v1.checkout.sessions.update(session.id, {"metadata": {"note": ""}})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {"checkout_id": "chk_1"}
