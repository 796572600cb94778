"""The public routes: start, show and cancel a checkout, with their problems."""

from typing import Any

import httpx
import pytest
from events.money import SUPPORTED
from events.testing.openapi import unlimited_lists

OPERATOR = "operator-token-0123"
CART = {"items": [{"sku": "TEE-M", "quantity": 2}]}
KEY = {"Idempotency-Key": "a-key"}


def test_start_returns_the_url_the_end_and_the_amounts(client: Any) -> None:
    answer = client.post("/checkout/sessions", json=CART | {"shipping_option": "standard"}, headers=KEY)
    assert answer.status_code == 201
    body = answer.json
    assert body.pop("checkout_id").startswith("chk_")
    assert body == {
        "session_id": "cs_test_1",
        "url": "https://checkout.stripe.test/cs_test_1",
        "expires_at": "2026-05-04T10:33:00+00:00",
        "currency": "eur",
        "amount_subtotal": 4998,
        "amount_discount": 0,
        "amount_shipping": 490,
        "amount_total": 5488,
    }
    assert (
        client.post("/checkout/sessions", json=CART | {"shipping_option": "standard"}, headers=KEY).json == answer.json
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": []}, ["items"]),
        ({"items": [{"sku": "NO", "quantity": 1}]}, ["items", "0", "sku"]),
        ({"items": [{"sku": "OLD", "quantity": 1}]}, ["items", "0", "sku"]),
        ({"items": [{"sku": "TEE-M", "quantity": 0}]}, ["items", "0", "quantity"]),
        ({"items": [{"sku": "TEE-M", "quantity": 21}]}, ["items", "0", "quantity"]),
        ({"items": [{"sku": "TEE-M", "quantity": "2"}]}, ["items", "0", "quantity"]),
        ({"items": [{"sku": "TEE-M", "quantity": 1}, {"sku": "TEE-M", "quantity": 1}]}, ["items", "1", "sku"]),
        ({"items": [{"sku": "TEE-M", "quantity": 1, "price": 1}]}, ["items", "0", "price"]),
        ({"items": [{"sku": "A\0", "quantity": 1}]}, ["items", "0", "sku"]),
        ({"items": [{"sku": "CAP", "quantity": 1}], "currency": "usd"}, ["items", "0", "sku"]),
        ({"currency": "xyz"}, ["currency"]),
        ({"customer_email": "nobody"}, ["customer_email"]),
        ({"locale": "tlh"}, ["locale"]),
        ({"discount_code": "NONE"}, ["discount_code"]),
        ({"shipping_option": "drone"}, ["shipping_option"]),
        ({"currency": "usd", "shipping_option": "standard"}, ["shipping_option"]),
        ({"success_url": "https://evil.test/"}, ["success_url"]),
        ({"cancel_url": "https://shop.test@evil.test/"}, ["cancel_url"]),
        ({"amount": 1}, ["amount"]),
    ],
)
def test_invalid_request_returns_errors_by_field(
    client: Any, system: Any, change: dict[str, Any], field: list[str]
) -> None:
    answer = client.post("/checkout/sessions", json=CART | change)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == "urn:clozit:problem:invalid-request"
    errors = answer.json["errors"]
    for name in field:
        errors = errors[name]
    assert isinstance(errors[0], str)
    assert system.stripe.calls == []


@pytest.mark.parametrize("key", ["", "x" * 256, "a key"])
def test_invalid_idempotency_key_is_refused(client: Any, key: str) -> None:
    answer = client.post("/checkout/sessions", json=CART, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json["errors"]


def test_domain_errors_are_answered_as_problems(client: Any, system: Any) -> None:
    system.inventory.stock["TEE-M"] = 0
    answer = client.post("/checkout/sessions", json=CART)
    assert (answer.status_code, answer.json["type"]) == (409, "urn:clozit:problem:out-of-stock")
    assert answer.json["lines"] == [{"sku": "TEE-M", "requested": 2, "available": 0}]
    system.inventory.before = lambda _: httpx.Response(500)
    answer = client.post("/checkout/sessions", json=CART)
    assert (answer.status_code, answer.json["type"]) == (503, "urn:clozit:problem:inventory-unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_redirect_urls_of_the_shop_get_the_checkout_id(client: Any, system: Any) -> None:
    urls = {"success_url": "https://staging.shop.test:8443/{CHECKOUT_ID}/{CHECKOUT_SESSION_ID}"}
    checkout_id = client.post("/checkout/sessions", json=CART | urls).json["checkout_id"]
    params = system.stripe.params[0]
    assert params["success_url"] == f"https://staging.shop.test:8443/{checkout_id}/{{CHECKOUT_SESSION_ID}}"
    assert params["cancel_url"] == f"https://shop.test/cancel?checkout_id={checkout_id}"


def test_show_and_cancel_return_the_status(client: Any) -> None:
    checkout_id = client.post("/checkout/sessions", json=CART).json["checkout_id"]
    shown = client.get(f"/checkout/sessions/{checkout_id}").json
    assert (shown["status"], shown["session_id"], shown["amount_total"]) == ("open", "cs_test_1", 5488)
    assert "url" not in shown
    for _ in range(2):
        answer = client.post(f"/checkout/sessions/{checkout_id}/cancel")
        assert (answer.status_code, answer.json["status"]) == (200, "canceled")


def test_cancel_of_a_paid_checkout_is_refused(client: Any, system: Any) -> None:
    checkout_id = client.post("/checkout/sessions", json=CART).json["checkout_id"]
    system.stripe.pay("cs_test_1")
    answer = client.post(f"/checkout/sessions/{checkout_id}/cancel")
    assert (answer.status_code, answer.json["type"]) == (409, "urn:clozit:problem:already-paid")
    assert client.get(f"/checkout/sessions/{checkout_id}").json["status"] == "complete"


def test_unknown_checkout_is_not_found(client: Any) -> None:
    assert client.get("/checkout/sessions/chk_none").status_code == 404
    assert client.post("/checkout/sessions/chk_none/cancel").status_code == 404


def test_openapi_and_readiness_are_served(client: Any) -> None:
    assert "/checkout/sessions" in client.get("/openapi.json").json["paths"]
    assert client.get("/readyz").status_code == 200


def test_cart_with_too_many_lines_is_refused_before_it_is_read(client: Any) -> None:
    answer = client.post("/checkout/sessions", json={"items": [{}] * 34_000})
    assert answer.status_code == 422
    assert answer.json["errors"] == {"items": ["Length must be between 1 and 100."]}


def test_prices_in_too_many_currencies_are_refused_unread(client: Any) -> None:
    prices = {f"c{number}": number for number in range(9_000)}
    body = {"group": "TEE", "name": "T-shirt", "prices": prices}
    answer = client.put("/catalog/products/TEE", json=body, headers={"Authorization": f"Bearer {OPERATOR}"})
    assert answer.status_code == 422
    assert answer.json["errors"] == {"prices": [f"Longer than maximum length {2 * len(SUPPORTED)}."]}


def test_every_list_in_a_request_has_a_maximum_length(client: Any) -> None:
    assert unlimited_lists(client.get("/openapi.json").json) == []
