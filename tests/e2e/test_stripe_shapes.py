"""Older shapes of Stripe's events, missing addresses, and coupons: from the fake Stripe to what people read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from events import stripe_api
from events.clock import utcnow
from events.database.engine import Database
from events.testing import http
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from orders.refunds.gateway import RefundGateway
from orders.refunds.lookups import RefundLookups

from demo.fake_stripe import versions
from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe
from demo.system import System
from tests.e2e.in_process import OPERATOR, Shop
from tests.e2e.shopper import SOCKS, TEE, TIMEOUT_S, Shopper, at_stripe, money

ADDRESS_SHAPES = {  # by API version: the fields of a completed session that can have the address
    "2020-08-27": {"shipping"},
    "2022-08-01": {"shipping_details"},
    "2024-10-28.acacia": {"shipping_details"},
    "2025-02-24.acacia": {"shipping_details", "collected_information"},  # the latter's is null
    "2025-03-31.basil": {"collected_information"},
    versions.CURRENT: {"collected_information"},
}


@contextmanager
def endpoint_at(system: System, version: str) -> Iterator[None]:
    """Let the webhook endpoint have this API version within the block."""
    system.stripe.set_event_version(version)
    try:
        yield
    finally:
        system.stripe.set_event_version(versions.CURRENT)


def stripe_of(system: System) -> FakeStripe:
    """Return the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe


def completed_event(system: System, session_id: str) -> dict[str, Any]:
    """Return the session in the event of its completion."""
    events = stripe_of(system).events("checkout.session.completed")
    [found] = [event for event in events if event["data"]["object"]["id"] == session_id]
    shown: dict[str, Any] = found["data"]["object"]
    return shown


def is_to_ship(shopper: Shopper, checkout: dict[str, Any]) -> bool:
    """Return True if the order is on the pick list."""
    path = f"/orders?checkout_id={checkout['checkout_id']}&to_ship=true"
    return bool(shopper.system.get("orders", path, operator=True).raise_for_status().json()["items"])


@pytest.mark.parametrize("version", ADDRESS_SHAPES)
def test_order_has_the_address_of_every_api_version(system: System, version: str) -> None:
    shopper = Shopper(system, f"address {version}")
    with endpoint_at(system, version):
        checkout = shopper.start_checkout({TEE: 1})
        shopper.pay(checkout)
    shown = completed_event(system, checkout["session_id"])
    assert {"shipping", "shipping_details", "collected_information"} & shown.keys() == ADDRESS_SHAPES[version]
    address = shopper.order_field(checkout, "shipping_address")
    assert (address["line1"], address["postal_code"], address["city"]) == ("Beispielstraße 12", "10115", "Berlin")
    assert is_to_ship(shopper, checkout)
    assert shopper.success_page(checkout)["amount_shipping"] == 490


@pytest.mark.parametrize("decision", ["accept", "refund"])
def test_order_without_an_address_ships_only_by_decision(system: System, decision: str) -> None:
    shopper = Shopper(system, f"no address {decision}")
    checkout = shopper.start_checkout({TEE: 1})
    stripe_of(system).add_fault("not_created", type="checkout.session.completed")
    system.stripe.pay(checkout["session_id"], "card", shopper.email)
    body = {"type": "checkout.session.completed", "object_id": checkout["session_id"]}
    body |= {"overrides": {"collected_information": None}}
    http.post(f"{stripe_of(system).url}/_control/trigger", json=body).raise_for_status()
    assert "No shipping address has arrived" in shopper.text("staff_review_opened")
    order = shopper.order(checkout)
    assert (order["review_reason"], order["shipping_address"]) == ("missing-address", None)
    assert not is_to_ship(shopper, checkout)
    assert shopper.operate(checkout, "shipments", all=True).status_code == 409
    assert shopper.success_page(checkout)["confirmed"] is False
    assert shopper.mails("order_confirmed") == []
    assert shopper.operate(checkout, "review", decision=decision).status_code == 200
    shipped = shopper.operate(checkout, "shipments", all=True).status_code
    if decision == "accept":
        shopper.mail("order_confirmed")
        assert shipped == 201
    else:
        shopper.mail("refund_succeeded")
        assert shipped in (409, 422)


@pytest.mark.parametrize("countries", [(), ("DE",)], ids=["a shipping option", "SHIPPING_COUNTRIES"])
def test_review_opens_for_all_that_was_sold_to_ship(sqlite_database: MakeDatabase, countries: tuple[str, ...]) -> None:
    """Either the shop ships to some countries, or the cart has a shipping option."""
    shop = Shop(sqlite_database, shipping_countries=countries)
    shop.seed(TEE=3)
    parcel = {"name": "Parcel", "amounts": {"eur": 490}, "min_days": 1, "max_days": 3}
    path, option = "/catalog/shipping-options/parcel", None
    if not countries:
        assert shop.web.put(path, json=parcel, headers=OPERATOR).status_code < 300
        option = "parcel"
    started = shop.start(shipping_option=option)
    shop.at_stripe("pay", started, method="card")
    completed = next(each for each in shop.account.store.all("event") if each["type"] == "checkout.session.completed")
    completed["data"]["object"]["collected_information"] = None
    shop.deliver_events()
    assert shop.statuses(started) == ("complete", "committed", "paid!")
    assert "no shipping address" in " ".join(shop.timeline())


@pytest.mark.parametrize("version", ["2022-08-01", "2022-11-15"], ids=["listed in the charge", "fetched from Stripe"])
def test_refunds_without_own_events_are_shown_once(system: System, folder: Path, version: str) -> None:
    shopper = Shopper(system, f"refunds {version}")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    with endpoint_at(system, version):
        first = system.stripe.refund(checkout["session_id"], amount=500)
        if version == "2022-08-01":
            shopper.check("The first is booked", 500, lambda: shopper.order_field(checkout, "amount_refunded"))
        second = system.stripe.refund(checkout["session_id"], amount=700)
        if version == "2022-11-15":
            look_up_refunds(system, folder, until=lambda: shopper.order_field(checkout, "amount_refunded") == 1200)
        shopper.check("Both are booked", 1200, lambda: shopper.order_field(checkout, "amount_refunded"))
        wait_until(lambda: len(shopper.mails("refund_succeeded")) == 2, TIMEOUT_S, "an e-mail for each")
        assert events_about(system, {first["id"], second["id"]}) == [], "only the charge has events"
    system.stripe.refund(checkout["session_id"], amount=300)  # with an event of its own
    shopper.check("All are booked", 1500, lambda: shopper.order_field(checkout, "amount_refunded"))
    assert sorted(each["amount"] for each in shopper.order_field(checkout, "refunds")) == [300, 500, 700]
    wait_until(lambda: len(shopper.mails("refund_succeeded")) == 3, TIMEOUT_S, "an e-mail for each")
    texts = [" ".join(mail.text.split()) for mail in shopper.mails("refund_succeeded")]
    for amount in (300, 500, 700):
        assert len([text for text in texts if f"refunded {money(amount, 'en')} of" in text]) == 1, texts


def look_up_refunds(system: System, folder: Path, until: Callable[[], bool]) -> None:
    """Run the worker's job as it runs half a minute later, until the condition holds."""
    database = Database(f"sqlite:///{folder / 'orders'}.db")
    gateway = RefundGateway(stripe_api.client("sk_test_demo", stripe_of(system).url, retries=0))
    lookups = RefundLookups(database, gateway)
    wait_until(lambda: lookups.run_due(utcnow() + timedelta(minutes=1)) >= 0 and until(), TIMEOUT_S, "the refunds")
    database.dispose()


def events_about(system: System, object_ids: set[str]) -> list[dict[str, Any]]:
    return [event for event in stripe_of(system).events() if event["data"]["object"]["id"] in object_ids]


def test_code_for_one_product_is_refunded_with_that_product(system: System) -> None:
    """The code halves the price of the T-shirts alone. Each line is refunded by itself."""
    shopper = Shopper(system, "bound")
    checkout = shopper.start_checkout({TEE: 2, SOCKS: 1})
    tees, socks = system.stripe.line_items(checkout["session_id"])
    code = create_code(system, percent_off="50", **{"applies_to[products][0]": tees["price"]["product"]})
    system.stripe.pay(checkout["session_id"], "card", shopper.email, promotion_code=code)
    page = shopper.page(system.stripe.session(checkout["session_id"]), "paid")
    assert (page["amount_discount"], page["amount_total"]) == (1999, 1999 + 1490 + 490)
    assert [line["amount_discount"] for line in (tees, socks)] == [1999, 0]
    for sku, amount in ((TEE, 1000), (SOCKS, 1490), (TEE, 999)):
        asked = shopper.operate(checkout, "refunds", lines=[{"sku": sku, "quantity": 1}]).raise_for_status()
        assert round(asked.json()["amount"], -1) == round(amount, -1), sku
        shown = f"We have refunded {money(asked.json()['amount'], 'en')} of"
        wait_until(lambda shown=shown: shown in shopper.text("refund_succeeded"), TIMEOUT_S, shown)  # type: ignore[misc]
    shopper.check("The goods", 3489, lambda: shopper.order_field(checkout, "amount_refunded"))
    assert shopper.results[-1].ok, shopper.results[-1]
    refunds = at_stripe(system, system.stripe.session(checkout["session_id"]))["refunds"]
    assert sum(refund["amount"] for refund in refunds) == tees["amount_total"] + socks["amount_total"] == 3489
    refused = shopper.operate(checkout, "refunds", lines=[{"sku": TEE, "quantity": 1}])
    assert refused.status_code in (409, 422)


def test_code_for_other_products_reduces_nothing(system: System) -> None:
    shopper = Shopper(system, "other products")
    other, checkout = (shopper.start_checkout({sku: 1}) for sku in (SOCKS, TEE))
    [socks] = system.stripe.line_items(other["session_id"])
    code = create_code(system, percent_off="50", **{"applies_to[products][0]": socks["price"]["product"]})
    with pytest.raises(StripeError, match="does not apply to anything in this order"):
        system.stripe.pay(checkout["session_id"], "card", shopper.email, promotion_code=code)
    shopper.pay(checkout)
    assert shopper.order_field(checkout, "amount_paid") == checkout["amount_total"]


def create_code(system: System, **coupon: str) -> str:
    """Create a coupon with a promotion code at Stripe, and return the code."""
    created = system.stripe.create("coupons", {"duration": "once", **coupon})
    code = f"BOUND{created['id'].upper()}"
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": created["id"]}
    system.stripe.create("promotion_codes", {**promotion, "code": code})
    return code


@pytest.mark.parametrize(
    ("end", "recovery", "days"),
    [("pay", True, 0), ("expire", False, 0), ("expire", True, 32)],
    ids=["paid", "expired", "expired with a recovery link"],
)
def test_coupon_of_a_session_cannot_be_used_after_it(
    sqlite_database: MakeDatabase, end: str, recovery: bool, days: int
) -> None:
    shop = Shop(sqlite_database, allow_recovery=recovery)
    shop.seed(TEE=3)
    started = shop.start(discount_code="ONCE")
    assert session_with_coupon(shop, started.id) == 200, "only until then"
    shop.at_stripe(end, started, **{"method": "card"} if end == "pay" else {})
    shop.deliver_events()
    shop.advance(timedelta(days=days, hours=2))
    assert session_with_coupon(shop, started.id) == 404


def session_with_coupon(shop: Shop, coupon_id: str) -> int:
    """Ask Stripe for a session with this coupon, and return the status of the answer."""
    price = {"currency": "eur", "unit_amount": "1999", "product_data][name": "Tee"}
    params = {f"line_items[0][price_data][{name}]": value for name, value in price.items()}
    params |= {"mode": "payment", "line_items[0][quantity]": "1", "success_url": "https://shop.test"}
    headers = {"Authorization": "Bearer sk_test_1"}
    form = params | {"discounts[0][coupon]": coupon_id}
    return shop.control.post("/v1/checkout/sessions", data=form, headers=headers).status_code
