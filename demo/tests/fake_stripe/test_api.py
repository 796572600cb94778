import concurrent.futures
import threading
from typing import Any

import pytest
import stripe
from events.testing import http

from demo.fake_stripe import forms
from demo.fake_stripe.server import FakeStripe

from .conftest import CreateSession

KEY = {"Authorization": "Bearer sk_test_made_up"}


def test_nested_form_fields_become_dicts_and_lists() -> None:
    pairs = [("a[b][0][c]", "1"), ("a[b][1][c]", "2"), ("expand[]", "x"), ("expand[]", "y"), ("plain", "z")]
    assert forms.parse(pairs) == {"a": {"b": [{"c": "1"}, {"c": "2"}]}, "expand": ["x", "y"], "plain": "z"}


def test_unknown_parameter_is_refused(fake: FakeStripe, create_session: CreateSession) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(foo="bar")
    assert (raised.value.code, raised.value.param) == ("parameter_unknown", "foo")
    answer = http.post(f"{fake.url}/v1/refunds", data={"foo": "1"}, headers=KEY)
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
        ({"customer_email": "anna"}, "customer_email"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0]"),
        ({"payment_intent_data": {"color": "red"}}, "payment_intent_data[color]"),
    ],
)
def test_error_names_the_wrong_parameter(create_session: CreateSession, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(**changes)
    assert raised.value.param == param


def test_amounts_are_integers_of_one_currency(create_session: CreateSession, cart: dict[str, Any]) -> None:
    line = cart["line_items"][0]
    fraction = {**line, "price_data": {**line["price_data"], "unit_amount": "19.99"}}
    with pytest.raises(stripe.InvalidRequestError) as raised:
        create_session(line_items=[fraction])
    assert raised.value.code == "parameter_invalid_integer"
    dollars = {**line, "price_data": {**line["price_data"], "currency": "usd"}}
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        create_session(line_items=[line, dollars])


def test_only_test_keys_are_accepted(fake: FakeStripe) -> None:
    for key in ("sk_live_real", "nonsense"):
        client = stripe.StripeClient(key, base_addresses={"api": fake.url})
        with pytest.raises(stripe.AuthenticationError):
            client.v1.products.list()
    assert http.get(f"{fake.url}/v1/products").status_code == 401
    assert http.get(f"{fake.url}/v1/products", auth=("sk_test_x", "")).status_code == 200


def test_missing_object_is_not_found(client: stripe.StripeClient, fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.charges.retrieve("ch_none")
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")
    assert http.get(f"{fake.url}/v1/unicorns", headers=KEY).json()["error"]["type"] == "invalid_request_error"


def test_idempotency_key_replays_its_answer(create_session: CreateSession) -> None:
    first = create_session({"idempotency_key": "key-1"})
    again = create_session({"idempotency_key": "key-1"})
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as raised:
        create_session({"idempotency_key": "key-1"}, client_reference_id="another")
    assert raised.value.http_status == 400


def test_idempotency_key_can_have_255_characters(fake: FakeStripe) -> None:
    def create(key: str, name: str = "Tee") -> Any:
        return http.post(f"{fake.url}/v1/products", data={"name": name}, headers={**KEY, "Idempotency-Key": key})

    longest = 255 * "k"
    assert create(longest).status_code == 200
    assert "at most 255" in create(longest + "k").json()["error"]["message"]
    assert f"key '{longest}' was used" in create(longest, "Mug").json()["error"]["message"]


def test_two_api_keys_can_use_one_idempotency_key(fake: FakeStripe) -> None:
    for api_key in ("sk_test_one", "sk_test_two"):
        headers = {"Authorization": f"Bearer {api_key}", "Idempotency-Key": "key-4"}
        assert http.post(f"{fake.url}/v1/products", data={"name": api_key}, headers=headers).status_code == 200


def test_idempotency_key_expires_after_a_day(fake: FakeStripe, create_session: CreateSession) -> None:
    options = {"idempotency_key": "key-old"}
    first = create_session(options)
    fake.advance(23 * 3600)
    assert create_session(options).id == first.id
    fake.advance(2 * 3600)
    assert create_session(options).id != first.id


def test_refused_parameter_does_not_use_up_the_key(create_session: CreateSession) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        create_session({"idempotency_key": "key-2"}, foo="bar")
    assert create_session({"idempotency_key": "key-2"}).id


class ObservedEvent(threading.Event):
    """An event that shows when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.has_waiter = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.has_waiter.set()
        return super().wait(timeout)


def test_idempotency_key_in_use_is_a_conflict(fake: FakeStripe, create_session: CreateSession) -> None:
    fake.add_fault("api_timeout", performed=False, seconds=30, path="/v1/checkout/sessions")
    fake.account.stopping = stopping = ObservedEvent()
    options = {"idempotency_key": "key-3"}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(create_session, options)
        assert stopping.has_waiter.wait(10)
        with pytest.raises(stripe.APIError) as raised:
            create_session(options)
        stopping.set()
        assert isinstance(slow.exception(), stripe.APIError)
    assert raised.value.http_status == 409


def test_updates_merge_metadata(client: stripe.StripeClient, create_session: CreateSession) -> None:
    session = create_session()
    updated = client.v1.checkout.sessions.update(session.id, {"metadata": {"note": "gift"}})
    assert updated.metadata is not None
    assert updated.metadata.to_dict() == {"checkout_id": "chk_1", "note": "gift"}
    cleared = client.v1.checkout.sessions.update(session.id, {"metadata": {"note": ""}})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {"checkout_id": "chk_1"}
