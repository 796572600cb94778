"""The shipping options of Stripe's page: those that the cart names, or all that fit."""

from typing import Any

import pytest
from checkout import catalog, models
from checkout.countries import SHIPPING_COUNTRIES
from checkout.errors import InvalidCartError
from events.testing.bus import outbox_events
from sqlalchemy import update


@pytest.fixture
def ship(system: Any) -> Any:
    """A function that replaces the shop's shipping options and countries."""

    def replace(countries: list[str], **options: dict[str, Any]) -> None:
        object.__setattr__(system.config, "shipping_countries", tuple(countries))
        with system.database.begin() as session:
            session.execute(update(models.ShippingOption).values(active=False))
        days = {"min_days": 1, "max_days": 2}
        entries = [{"id": name, "name": name, **days, **fields} for name, fields in options.items()]
        catalog.seed(system.database, {"shipping_options": entries})

    return replace


def offered(system: Any) -> list[tuple[str, str]]:
    rates = [rate["shipping_rate_data"] for rate in system.stripe.params[-1].get("shipping_options", {}).values()]
    return [(rate["metadata"]["shipping_option"], rate["fixed_amount"]["amount"]) for rate in rates]


def countries(system: Any) -> list[str]:
    collection = system.stripe.params[-1].get("shipping_address_collection", {"allowed_countries": {}})
    return list(collection["allowed_countries"].values())


def test_cart_without_option_offers_all_that_fit(system: Any, ship: Any) -> None:
    ship(
        ["DE", "US"],
        world={"amounts": {"eur": 1900}},
        home={"amounts": {"eur": 490}, "countries": ["DE"]},
        alps={"amounts": {"eur": 900}, "countries": ["AT", "CH"]},
        dollars={"amounts": {"usd": 100}},
    )
    checkout = system.start()
    assert offered(system) == [("home", "490"), ("alps", "900"), ("world", "1900")]
    assert countries(system) == ["AT", "CH", "DE", "US"]
    assert (checkout.amount_shipping, checkout.amount_total) == (490, 5488)
    [started] = outbox_events(system.database)
    assert started.data["shipping_options"] == [
        {"id": "home", "name": "home", "amount": 490, "countries": ["DE"]},
        {"id": "alps", "name": "alps", "amount": 900, "countries": ["AT", "CH"]},
        {"id": "world", "name": "world", "amount": 1900, "countries": []},
    ]


def test_cart_with_an_option_offers_only_that_one(system: Any, ship: Any) -> None:
    ship(["DE", "US"], world={"amounts": {"eur": 1900}}, home={"amounts": {"eur": 490}, "countries": ["DE"]})
    system.start(shipping_option="home")
    assert (offered(system), countries(system)) == ([("home", "490")], ["DE"])


def test_at_most_five_options_are_offered(system: Any, ship: Any) -> None:
    ship([], **{f"option{number}": {"amounts": {"eur": 100 * (9 - number)}} for number in range(9)})
    system.start()
    assert [amount for _, amount in offered(system)] == ["100", "200", "300", "400", "500"]
    assert countries(system) == sorted(SHIPPING_COUNTRIES)


def test_limited_option_asks_for_an_address(system: Any, ship: Any) -> None:
    ship([], world={"amounts": {"eur": 1900}}, home={"amounts": {"eur": 490}, "countries": ["DE"]})
    system.start()
    assert countries(system) == sorted(SHIPPING_COUNTRIES)


def test_cart_in_a_currency_without_options_is_refused(client: Any, system: Any) -> None:
    """The shop has options, and none has a price in USD: that does not mean that shipping is free."""
    cart = {"items": [{"sku": "TEE-M", "quantity": 1}], "currency": "usd"}
    answer = client.post("/checkout/sessions", json=cart)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["currency"])
    assert system.inventory.reservations == {}


def test_shop_without_options_ships_for_free(system: Any, ship: Any) -> None:
    ship([])
    assert (system.start().amount_shipping, offered(system)) == (0, [])
    with pytest.raises(InvalidCartError):
        system.start("key-2", shipping_option="standard")
