"""The catalog: what operators write, what the public routes show, and what it costs."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from checkout import catalog
from checkout.__main__ import main
from checkout.errors import InvalidCartError
from checkout.models import Discount, Product
from checkout.pricing import Item, quote
from click.testing import CliRunner
from events.testing.bus import outbox_events

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
OPERATOR = {"Authorization": "Bearer operator-token-0123"}
TEE = {"group": "TEE", "size": "L", "name": "T-shirt, L", "prices": {"EUR": 2599}}


def test_products_of_a_currency_are_listed_with_their_stock(any_system: Any) -> None:
    client = any_system.create_app().test_client()
    listed = client.get("/products?currency=USD").json
    assert listed == {
        "items": [
            {
                "sku": "TEE-M",
                "group": "TEE",
                "size": "M",
                "name": "T-shirt, M",
                "description": "Cotton",
                "image": "/img/tee.svg",
                "unit_amount": 2799,
                "currency": "usd",
                "available": 5,
            }
        ],
        "next_cursor": None,
    }
    assert [item["sku"] for item in client.get("/products").json["items"]] == ["CAP", "TEE-M"]


def test_product_list_asks_once_for_the_stock_of_its_page(client: Any, system: Any) -> None:
    first = client.get("/products?limit=1").json
    assert [item["available"] for item in first["items"]] == [9]
    assert system.inventory.stock_requests == [["CAP"]]
    client.get("/products?limit=1")
    client.get("/products?limit=2")
    assert system.inventory.stock_requests == [["CAP"], ["TEE-M"]]


def test_product_list_without_inventory_has_no_stock(client: Any, system: Any) -> None:
    system.inventory.before = lambda _: httpx.Response(503)
    assert [item["available"] for item in client.get("/products").json["items"]] == [None, None]


def test_product_list_has_pages(client: Any) -> None:
    first = client.get("/products?limit=1").json
    second = client.get(f"/products?limit=1&cursor={first['next_cursor']}").json
    assert [page["items"][0]["sku"] for page in (first, second)] == ["CAP", "TEE-M"]
    assert second["next_cursor"] is None
    assert client.get("/products?cursor=junk!").status_code == 422


def test_operator_creates_and_replaces_a_product(client: Any) -> None:
    for _ in range(2):
        answer = client.put("/catalog/products/TEE-L", json=TEE, headers=OPERATOR)
        assert answer.status_code == 200
        assert answer.json["prices"] == {"eur": 2599}
    assert "TEE-L" in [item["sku"] for item in client.get("/products").json["items"]]
    client.put("/catalog/products/TEE-L", json=TEE | {"active": False}, headers=OPERATOR)
    assert "TEE-L" not in [item["sku"] for item in client.get("/products").json["items"]]


@pytest.mark.parametrize(
    "change",
    [
        {"prices": {"isk": 150}},
        {"prices": {"eur": 0}},
        {"prices": {"eur": 1.5}},
        {"prices": {"xyz": 1}},
        {"prices": {"eur": 100_000_000}},
        {"prices": {"idr": 1_000_000_000_000}},
        {"x": 1},
        {"name": "  "},
        {"description": " \n "},
        {"group": " "},
        {"tax_code": "txcd_123"},
        {"tax_code": "99999999"},
        {"image": "http://elsewhere.test/tee.jpg"},
        {"image": "javascript:alert(1)"},
        {"image": "//elsewhere.test/tee.jpg"},
        {"image": "https:///tee.jpg"},
        {"image": " "},
        {"image": "https://:pw@images.test/tee.jpg"},
        {"image": "https://images.test/" + "\N{LATIN SMALL LETTER E WITH ACUTE}" * 400},
    ],
)
def test_invalid_product_is_refused(client: Any, change: dict[str, Any]) -> None:
    assert client.put("/catalog/products/TEE-L", json=TEE | change, headers=OPERATOR).status_code == 422
    assert client.put("/catalog/products/T%20L", json=TEE, headers=OPERATOR).status_code == 422


def test_catalog_changes_require_an_operator(client: Any) -> None:
    assert client.put("/catalog/products/TEE-L", json=TEE).status_code == 401
    assert client.put("/catalog/discounts/SPRING", json={"percent_off": 10}).status_code == 401


def test_discount_is_created_and_applied(client: Any) -> None:
    assert client.put("/catalog/discounts/Spring", json={"percent_off": 10}, headers=OPERATOR).json["code"] == "SPRING"
    cart = {"items": [{"sku": "TEE-M", "quantity": 1}, {"sku": "CAP", "quantity": 1}], "discount_code": " spring"}
    body = client.post("/checkout/sessions", json=cart).json
    assert (body["amount_subtotal"], body["amount_discount"], body["amount_total"]) == (4249, 425, 4314)
    client.put("/catalog/discounts/spring", json={"percent_off": 10, "active": False}, headers=OPERATOR)
    assert client.post("/checkout/sessions", json=cart).status_code == 422


@pytest.mark.parametrize("discount", [{}, {"percent_off": 10, "amounts_off": {"eur": 5}}, {"percent_off": 101}])
def test_invalid_discount_is_refused(client: Any, discount: dict[str, Any]) -> None:
    assert client.put("/catalog/discounts/SPRING", json=discount, headers=OPERATOR).status_code == 422


def test_discount_is_distributed_over_the_lines(system: Any) -> None:
    with system.database.begin() as session:
        session.add(Discount(code="TEN", percent_off=None, amounts_off={"eur": 1000}, active=True))
        session.flush()
        quoted = quote(
            session,
            [Item("TEE-M", 1), Item("CAP", 1)],
            "eur",
            discount_code="TEN",
            shop_url="https://shop.test",
            now=NOW,
        )
        with pytest.raises(InvalidCartError):
            quote(session, [Item("TEE-M", 1)], "usd", discount_code="TEN", shop_url="https://shop.test", now=NOW)
    assert [line["amount_total"] for line in quoted.lines] == [2499 - 588, 1750 - 412]
    assert quoted.amount_total == 3739


def test_discount_is_at_most_the_goods(system: Any) -> None:
    with system.database.begin() as session:
        session.add(Discount(code="BIG", percent_off=None, amounts_off={"eur": 99999}, active=True))
        session.flush()
        quoted = quote(
            session,
            [Item("CAP", 1)],
            "eur",
            discount_code="BIG",
            shipping_option="standard",
            shop_url="https://shop.test",
            now=NOW,
        )
    assert (quoted.amount_discount, quoted.amount_total) == (1750, 490)


def test_shipping_is_free_from_an_amount_of_goods(system: Any) -> None:
    with system.database.read() as session:
        paid = quote(
            session, [Item("TEE-M", 3)], "eur", shipping_option="standard", shop_url="https://shop.test", now=NOW
        )
        free = quote(
            session, [Item("TEE-M", 4)], "eur", shipping_option="standard", shop_url="https://shop.test", now=NOW
        )
    assert (paid.amount_shipping, free.amount_shipping) == (490, 0)


def test_second_seed_restores_the_file(any_system: Any) -> None:
    document = {"products": [{"sku": "TEE-M", "stock": 3, **TEE}], "shipping_options": []}
    for _ in range(2):
        catalog.seed(any_system.database, document)
    with any_system.database.read() as session:
        assert session.get_one(Product, "TEE-M").prices == {"eur": 2599}
        assert session.get_one(Product, "CAP").active


def test_seed_command_writes_the_file_or_fails(system: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "catalog.json"
    file.write_text(json.dumps({"products": [{"sku": "NEW", **TEE}]}))
    monkeypatch.setattr("checkout.__main__.load", lambda: None)
    monkeypatch.setattr("checkout.__main__.configuration", lambda _: system.config)
    monkeypatch.setattr("checkout.__main__.Database", lambda _: system.database)
    assert CliRunner().invoke(main, ["seed", str(file)]).exit_code == 0
    with system.database.read() as session:
        assert session.get(Product, "NEW") is not None
    file.write_text('{"products": [{"sku": "NEW"}]}')
    assert "is not a catalog" in CliRunner().invoke(main, ["seed", str(file)]).output


def test_cart_without_shipping_option_pays_for_shipping(system: Any) -> None:
    with system.database.read() as session:
        quoted = quote(session, [Item("TEE-M", 1)], "eur", shop_url="https://shop.test", now=NOW)
    assert quoted.shipping is not None
    assert (quoted.shipping["id"], quoted.amount_shipping) == ("standard", 490)


SLOW = {"name": "By ship", "amounts": {"eur": 300}, "free_from": {"eur": 2000}, "min_days": 20, "max_days": 40}


def test_shipping_option_of_an_operator_is_listed(client: Any) -> None:
    assert client.put("/catalog/shipping-options/slow", json=SLOW).status_code == 401
    answer = client.put("/catalog/shipping-options/slow", json=SLOW | {"countries": ["US"]}, headers=OPERATOR)
    assert (answer.status_code, answer.json["id"]) == (200, "slow")
    slow, standard = client.get("/shipping-options").json["items"]
    assert slow == {
        "id": "slow", "name": "By ship", "currency": "eur", "amount": 300, "free_from": 2000, "countries": ["US"],
        "min_days": 20, "max_days": 40,
    }  # fmt: skip
    assert (standard["id"], standard["amount"], standard["countries"]) == ("standard", 490, [])
    assert client.get("/shipping-options?currency=jpy").json == {"items": []}


@pytest.mark.parametrize(
    "change",
    [
        {"max_days": 3},
        {"countries": ["us"]},
        {"countries": ["UK"]},
        {"name": "  "},
        {"amounts": {"isk": 150}},
        {"name": ""},
    ],
)
def test_invalid_shipping_option_is_refused(client: Any, change: dict[str, Any]) -> None:
    assert client.put("/catalog/shipping-options/slow", json=SLOW | change, headers=OPERATOR).status_code == 422


@pytest.mark.parametrize(
    "change",
    [{"minimums": {"isk": 150}}, {"limit_total": 0}, {"limit_per_email": -1}, {"starts_at": "2026-05-04T10:00:00"},
     {"starts_at": "2026-05-04T10:00:00Z", "ends_at": "2026-05-04T10:00:00Z"}],
)  # fmt: skip
def test_invalid_discount_limits_are_refused(client: Any, change: dict[str, Any]) -> None:
    assert (
        client.put("/catalog/discounts/SPRING", json={"percent_off": 5} | change, headers=OPERATOR).status_code == 422
    )


def test_default_shipping_is_the_cheapest_for_the_cart(client: Any, system: Any) -> None:
    client.put(
        "/catalog/shipping-options/dear", json=SLOW | {"amounts": {"eur": 900}, "countries": ["DE"]}, headers=OPERATOR
    )
    body = client.post("/checkout/sessions", json={"items": [{"sku": "TEE-M", "quantity": 1}]}).json
    assert body["amount_shipping"] == 0
    offered = [rate["shipping_rate_data"] for rate in system.stripe.params[-1]["shipping_options"].values()]
    assert [(rate["metadata"]["shipping_option"], rate["fixed_amount"]["amount"]) for rate in offered] == [
        ("dear", "0"),  # free from 20.00
        ("standard", "490"),
    ]


def test_promotion_codes_are_allowed_without_a_discount(client: Any, system: Any) -> None:
    system.checkouts._config = replace(system.config, allow_promotion_codes=True)
    client.put("/catalog/discounts/SPRING", json={"percent_off": 10}, headers=OPERATOR)
    cart = {"items": [{"sku": "TEE-M", "quantity": 1}]}
    for request in (cart, cart | {"discount_code": "SPRING"}):
        assert client.post("/checkout/sessions", json=request).status_code == 201
    offered = [params.get("allow_promotion_codes") for params in system.stripe.params if "line_items" in params]
    assert offered == ["true", None]
    assert [event.data["promotion_codes"] for event in outbox_events(system.database)] == [True, False]


@pytest.mark.parametrize("countries", [[], ["DE"]])
def test_started_checkout_says_if_it_asks_for_an_address(client: Any, system: Any, countries: list[str]) -> None:
    system.checkouts._config = replace(system.config, shipping_countries=countries)
    assert client.post("/checkout/sessions", json={"items": [{"sku": "TEE-M", "quantity": 1}]}).status_code == 201
    [event] = outbox_events(system.database)
    asked = [params.get("shipping_address_collection") for params in system.stripe.params if "line_items" in params]
    assert event.data["needs_shipping"], "it has a shipping option"
    assert asked != [None], "also in a shop that has not limited its countries"


@pytest.mark.parametrize("quantities", [[3], [1, 1, 1]])
def test_cart_beyond_the_configured_limits_is_refused(client: Any, system: Any, quantities: list[int]) -> None:
    system.checkouts._config = replace(system.config, max_quantity=2, max_lines=2)
    items = [{"sku": f"S{number}", "quantity": quantity} for number, quantity in enumerate(quantities)]
    answer = client.post("/checkout/sessions", json={"items": items})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["items"])
