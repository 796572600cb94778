"""The limits of unpaid checkouts by address and e-mail address, and the bot check."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from checkout.bot_check import BotCheck
from checkout.checkouts import Checkouts
from checkout.config import load
from checkout.limits import REFUSED_CHECKOUTS
from checkout.models import Checkout
from events.errors import ConfigError
from sqlalchemy import select

CLIENT, OTHER = "192.0.2.9", "192.0.2.10"


@pytest.fixture
def shop(system: Any) -> Any:
    """The system with enough stock for every limit."""
    system.inventory.stock = {"TEE-M": 1000, "CAP": 1000}
    return system


@pytest.fixture
def client(shop: Any) -> Any:
    return shop.create_app().test_client()


def start(client: Any, address: str = CLIENT, pieces: int = 1, key: str | None = None, **fields: Any) -> Any:
    headers = {"X-Forwarded-For": address} | ({"Idempotency-Key": key} if key else {})
    items = [{"sku": sku, "quantity": count} for sku, count in (("TEE-M", pieces), ("CAP", pieces - 20)) if count > 0]
    items[0]["quantity"] = min(pieces, 20)
    return client.post("/checkout/sessions", json={"items": items, **fields}, headers=headers)


def limit_client(shop: Any, **limits: int) -> None:
    """Replace the limits in the settings of the shop."""
    shop.checkouts = Checkouts(
        replace(shop.config, **limits), shop.database, shop.stripe_sessions, shop.inventory_client, shop.clock
    )


def refused(answer: Any) -> Any:
    assert (answer.status_code, answer.json["type"]) == (429, "urn:clozit:problem:too-many-open-checkouts")
    return answer.json["limited_by"]


def test_one_address_cannot_hold_the_whole_catalog(client: Any, shop: Any) -> None:
    assert [start(client, pieces=40).status_code for _ in range(2)] == [201, 201]
    answer = start(client, pieces=40)
    assert refused(answer) == "address"
    assert (answer.json["open_checkouts"], answer.json["open_pieces"]) == (2, 80)
    assert answer.json["detail"].startswith("Your IP address has 2 unpaid checkouts with 80 pieces in total. ")
    assert "/checkout/sessions/{checkout_id}/cancel" in answer.json["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert len(shop.inventory.reservations) == 2
    assert start(client, pieces=20).status_code == 201
    assert start(client, OTHER, pieces=40).status_code == 201


def test_open_checkouts_of_an_address_are_limited(client: Any) -> None:
    assert {start(client).status_code for _ in range(20)} == {201}
    answer = start(client)
    assert refused(answer) == "address"
    assert answer.json["detail"].startswith("Your IP address has 20 unpaid checkouts with 20 pieces in total. ")
    assert start(client, OTHER).status_code == 201


def test_refusal_after_one_checkout_of_one_piece_is_singular(shop: Any) -> None:
    limit_client(shop, max_open_checkouts_per_address=1)
    client = shop.create_app().test_client()
    assert start(client).status_code == 201
    answer = start(client)
    assert refused(answer) == "address"
    assert answer.json["detail"].startswith("Your IP address has 1 unpaid checkout with 1 piece in total. ")


def test_canceled_checkout_makes_room_for_another(client: Any) -> None:
    first, _ = start(client, pieces=40), start(client, pieces=40)
    assert refused(start(client, pieces=40)) == "address"
    assert client.post(f"/checkout/sessions/{first.json['checkout_id']}/cancel").status_code == 200
    assert start(client, pieces=40).status_code == 201


def test_email_address_is_limited_from_every_address(client: Any) -> None:
    spellings = ["Zoe@shop.test", "zoe@Shop.test"]
    answers = [start(client, f"192.0.2.{number}", customer_email=spellings[number % 2]) for number in range(6)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429]
    assert refused(answers[5]) == "email"
    assert "leave customer_email out" in answers[5].json["detail"]
    assert start(client, "192.0.2.6").status_code == 201


def test_probe_of_an_email_address_learns_no_numbers(client: Any) -> None:
    """Anyone can name a customer's address, with a cart that the shop cannot even sell."""
    probe = {"customer_email": "zoe@shop.test", "items": [{"sku": f"NO-{n}", "quantity": 10} for n in range(5)]}
    headers = {"X-Forwarded-For": OTHER}
    assert client.post("/checkout/sessions", json=probe, headers=headers).status_code == 422
    answers = []
    for _ in range(2):
        start(client, pieces=13, customer_email="zoe@shop.test")
        answers.append(client.post("/checkout/sessions", json=probe, headers=headers))
    assert [refused(answer) for answer in answers] == ["email"] * 2
    first, second = ({**answer.json, "request_id": None} for answer in answers)
    assert first == second
    assert first.keys() == {"type", "title", "status", "detail", "request_id", "limited_by"}
    assert not any(character.isdigit() for character in first["detail"])
    assert "Retry-After" not in answers[0].headers


def test_cart_above_the_limit_is_invalid_by_itself(shop: Any) -> None:
    limit_client(shop, max_open_pieces_per_address=30)
    answer = start(shop.create_app().test_client(), pieces=31)
    assert answer.status_code == 422
    assert answer.json["errors"]["items"] == [
        "This cart has too many pieces: the maximum for one customer at a time is 30. Reduce the quantities."
    ]


def test_ipv6_addresses_of_one_network_are_one_client(client: Any) -> None:
    for number in range(20):
        assert start(client, f"2001:db8:1:2::{number:x}").status_code == 201
    assert refused(start(client, "2001:db8:1:2:ffff::1")) == "address"
    assert start(client, "2001:db8:1:3::1").status_code == 201


def test_strangers_forwarded_address_counts_for_nothing(client: Any) -> None:
    def post(number: int) -> int:
        status: int = client.post(
            "/checkout/sessions",
            json={"items": [{"sku": "TEE-M", "quantity": 1}]},
            headers={"X-Forwarded-For": f"192.0.2.{number}"},
            environ_base={"REMOTE_ADDR": "198.51.100.1"},
        ).status_code
        return status

    assert [post(number) for number in range(21)] == [201] * 20 + [429]


def test_repeated_request_is_not_limited(client: Any) -> None:
    first = start(client, key="cart-1")
    for _ in range(19):
        start(client)
    assert refused(start(client)) == "address"
    assert start(client, key="cart-1").json == first.json


def test_delayed_payment_counts_until_it_is_paid(client: Any, shop: Any) -> None:
    first = start(client, pieces=40, customer_email="zoe@shop.test").json
    start(client, pieces=40)
    shop.deliver_session_event("completed", first["checkout_id"], id=first["session_id"], payment_status="unpaid")
    assert refused(start(client, pieces=40)) == "address"
    assert refused(start(client, OTHER, pieces=20, customer_email="zoe@shop.test")) == "email"
    shop.deliver_session_event("async_payment_succeeded", first["checkout_id"], id=first["session_id"])
    assert start(client, pieces=40).status_code == 201
    assert start(client, OTHER, pieces=20, customer_email="zoe@shop.test").status_code == 201


def recover(shop: Any, started: Any, payment_status: str = "unpaid") -> None:
    """Complete the session that Stripe's recovery link has opened."""
    session_id = f"{started['session_id']}_recovered"
    shop.deliver_session_event(
        "completed",
        started["checkout_id"],
        id=session_id,
        payment_status=payment_status,
        recovered_from=started["session_id"],
    )


@pytest.mark.parametrize("end", ["expired", "canceled"])
def test_recovered_unpaid_cart_counts_again(client: Any, shop: Any, end: str) -> None:
    started = [start(client, pieces=40, customer_email="zoe@shop.test").json, start(client, pieces=40).json]
    for each in started:
        if end == "canceled":
            client.post(f"/checkout/sessions/{each['checkout_id']}/cancel")
        shop.deliver_session_event("expired", each["checkout_id"], id=each["session_id"])
    assert start(client, OTHER, pieces=20, customer_email="zoe@shop.test").status_code == 201
    for each in started:
        recover(shop, each)
    assert refused(start(client, pieces=40)) == "address"
    assert refused(start(client, "192.0.2.11", customer_email="zoe@shop.test")) == "email"
    paid = started[0]
    session_id = f"{paid['session_id']}_recovered"
    shop.deliver_session_event("async_payment_succeeded", paid["checkout_id"], id=session_id)
    assert start(client, pieces=40).status_code == 201
    assert start(client, "192.0.2.11", customer_email="zoe@shop.test").status_code == 201


@pytest.mark.parametrize("end", ["completed", "erased", "refused"])
def test_client_is_stored_only_until_the_end(client: Any, shop: Any, end: str) -> None:
    if end == "refused":
        shop.inventory.stock = {"TEE-M": 0}
    answer = start(client, customer_email="zoe@shop.test").json
    if end == "completed":
        before = shop.stored_checkout()
        assert CLIENT not in before.client_key
        assert "zoe" not in before.email_key
        shop.deliver_session_event(end, answer["checkout_id"], id=answer["session_id"])
    elif end == "erased":
        with shop.database.begin() as session:
            session.scalars(select(Checkout)).one().erase_customer()
    assert stored_keys(shop) == (None, None)


def stored_keys(shop: Any) -> Any:
    stored = shop.stored_checkout()
    return stored.client_key, stored.email_key


@pytest.mark.parametrize("end", ["expired", "canceled", "failed"])
@pytest.mark.parametrize("allow_recovery", [True, False])
def test_client_is_forgotten_once_no_link_can_lead_to_payment(shop: Any, end: str, allow_recovery: bool) -> None:
    object.__setattr__(shop.config, "allow_recovery", allow_recovery)
    client = shop.create_app().test_client()
    answer = start(client, customer_email="zoe@shop.test").json
    session = {"id": answer["session_id"]}
    if end == "canceled":
        client.post(f"/checkout/sessions/{answer['checkout_id']}/cancel")
    elif end == "expired":
        shop.deliver_session_event("expired", answer["checkout_id"], **session)
    else:
        shop.deliver_session_event("completed", answer["checkout_id"], payment_status="unpaid", **session)
        shop.deliver_session_event("async_payment_failed", answer["checkout_id"], **session)
    if allow_recovery:
        shop.clock.now = shop.stored_checkout().expires_at
        shop.sweeper.run(shop.clock.advance(days=31, minutes=-1))
        assert None not in stored_keys(shop)
        shop.sweeper.run(shop.clock.advance(minutes=2))
    assert stored_keys(shop) == (None, None)
    assert shop.stored_checkout().check_at is None


def test_concurrent_checkouts_do_not_exceed_the_limit(make_system: Any, any_database: Any) -> None:
    shop = make_system(any_database)
    shop.inventory.stock = {"TEE-M": 1000, "CAP": 1000}
    app = shop.create_app()
    with ThreadPoolExecutor(8) as pool:
        statuses = [*pool.map(lambda _: start(app.test_client(), pieces=30).status_code, range(8))]
    assert sorted(statuses) == [201] * 3 + [429] * 5


def test_operators_find_and_cancel_the_checkouts_of_a_client(client: Any) -> None:
    for address in (CLIENT, CLIENT, OTHER):
        start(client, address)
    operator = {"Authorization": "Bearer operator-token-0123"}
    newest, *_, oldest = client.get("/checkouts", headers=operator).json["items"]
    assert newest["client_key"] != oldest["client_key"]
    query = {"client_key": oldest["client_key"]}
    found = client.get("/checkouts", query_string=query, headers=operator).json["items"]
    assert len(found) == 2
    for each in found:
        client.post(f"/checkouts/{each['checkout_id']}/cancel", headers=operator)
    assert client.get("/checkouts", query_string=query, headers=operator).json["items"] == []
    assert len(client.get("/checkouts", headers=operator).json["items"]) == 1


def test_refusals_are_counted_by_reason(client: Any) -> None:
    before = REFUSED_CHECKOUTS.labels("address")._value.get()
    for _ in range(21):
        start(client)
    assert REFUSED_CHECKOUTS.labels("address")._value.get() == before + 1


@pytest.fixture
def checked(shop: Any) -> Any:
    """A client of the shop with a bot check that confirms each good token once, as Turnstile does."""
    used: set[str] = set()

    def siteverify(request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        assert form["secret"] == "secret-of-the-check"
        if form["response"] == "away":
            raise httpx.ConnectTimeout("", request=request)
        if form["response"] == "wrong-secret":
            return httpx.Response(200, json={"success": False, "error-codes": ["invalid-input-secret"]})
        passed = form["response"].startswith("good") and form["response"] not in used
        used.add(form["response"])
        return httpx.Response(200, json={"success": passed})

    check = BotCheck("https://check.test/siteverify", "secret-of-the-check", httpx.MockTransport(siteverify))
    shop.checkouts = Checkouts(
        shop.config, shop.database, shop.stripe_sessions, shop.inventory_client, shop.clock, check
    )
    return shop.create_app().test_client()


def post_checked(client: Any, token: str | None, key: str) -> Any:
    headers = {"Idempotency-Key": key} | ({"X-Bot-Check": token} if token else {})
    return client.post("/checkout/sessions", json={"items": [{"sku": "TEE-M", "quantity": 1}]}, headers=headers)


@pytest.mark.parametrize("token", [None, "bad"])
def test_checkout_without_a_confirmed_token_is_refused(checked: Any, shop: Any, token: str | None) -> None:
    answer = post_checked(checked, token, "cart-1")
    assert (answer.status_code, answer.json["type"]) == (403, "urn:clozit:problem:bot-check-failed")
    assert shop.inventory.reservations == {}


def test_confirmed_token_starts_a_checkout_and_its_repeat(checked: Any) -> None:
    first = post_checked(checked, "good-1", "cart-1")
    assert first.status_code == 201
    assert post_checked(checked, "good-1", "cart-1").json == first.json
    assert post_checked(checked, "good-1", "cart-2").status_code == 403


@pytest.mark.parametrize("fault", ["away", "wrong-secret"])
def test_faulty_bot_check_does_not_stop_the_shop(checked: Any, fault: str) -> None:
    assert post_checked(checked, fault, "cart-1").status_code == 201


def test_bot_check_needs_url_and_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "DATABASE_URL": "sqlite:///x.db",
        "BROKER_URL": "memory://",
        "OPERATOR_TOKENS": "zoe:0123456789abcdef",
        "SERVICE_TOKEN": "0123456789abcdef",
        "STRIPE_API_KEY": "sk_test_1",
        "LIVEMODE": "false",
        "INVENTORY_URL": "http://inventory:8004",
        "SHOP_URL": "https://shop.test",
        "BOT_CHECK_URL": "https://check.test/siteverify",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    assert raised.value.problems.keys() == {"BOT_CHECK_SECRET"}
