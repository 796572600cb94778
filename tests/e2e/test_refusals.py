"""Refusals of Stripe: the catalog names the field early, and a refused API key is our own fault, in every service."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.server import FakeStripe
from demo.system import System
from tests.e2e.shopper import CATALOG, SOCKS, TEE, Shopper, money

LONG_IMAGE = "https://images.test/" + "a" * 2048
SESSION = {  # the form of a new session at Stripe
    "mode": "payment",
    "success_url": "https://shop.test",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "eur",
    "line_items[0][price_data][unit_amount]": "1999",
    "line_items[0][price_data][product_data][name]": "Tee",
}
PRODUCT = {name: value for name, value in CATALOG[TEE].items() if name not in ("sku", "stock")}


@pytest.fixture(params=["api_401", "api_403"])
def refusal(system: System, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the fault with which Stripe refuses our key."""
    yield request.param
    stripe_of(system).clear_faults()


def stripe_of(system: System) -> FakeStripe:
    """Return the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe


def logged_errors(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(record.msg) for record in caplog.records if record.levelno == logging.ERROR)


@pytest.mark.parametrize(
    ("field", "value", "at_stripe"),
    [
        ("name", " ", {"name": " "}),
        ("name", "\u00a0\u3000", {"name": "\u00a0\u3000"}),
        ("name", "", {"name": ""}),
        ("description", " \n", None),
        ("tax_code", "txcd_3001100", {"name": "Tee", "tax_code": "txcd_3001100"}),
        ("tax_code", "txcd_٣٠٠١١٠٠٠", {"name": "Tee", "tax_code": "txcd_٣٠٠١١٠٠٠"}),
        ("tax_rates", ["txr_é"], None),
        ("image", "https://exa mple.com/tee.png", {"name": "Tee", "images[0]": "https://exa mple.com/tee.png"}),
        ("image", "https://images.test:x/tee.png", None),
        ("image", "http://images.test/tee.png", None),
        ("image", LONG_IMAGE, {"name": "Tee", "images[0]": LONG_IMAGE}),
        ("prices", {"idr": 10**12}, None),
    ],
)
def test_catalog_names_the_field_that_stripe_refuses(
    system: System, field: str, value: Any, at_stripe: dict[str, str] | None
) -> None:
    answer = system.operate("PUT", "checkout", f"/catalog/products/{TEE}", PRODUCT | {field: value})
    assert (answer.status_code, [*answer.json()["errors"]]) == (422, [field])
    if at_stripe:
        with pytest.raises(StripeError):
            system.stripe.create("products", at_stripe)


@pytest.mark.parametrize("country", ["UK", "XX", "KP", "de"])
def test_country_without_shipping_at_stripe_is_named(system: System, country: str) -> None:
    """`SHIPPING_COUNTRIES` is checked with the same list; services/checkout/tests/unit/test_config.py."""
    option = {"name": "Far", "amounts": {"eur": 490}, "min_days": 1, "max_days": 2, "countries": ["DE", country]}
    answer = system.operate("PUT", "checkout", "/catalog/shipping-options/far", option)
    assert (answer.status_code, answer.json()["errors"].keys()) == (422, {"countries"})
    at_stripe = SESSION | {"shipping_address_collection[allowed_countries][0]": country}
    with pytest.raises(StripeError, match=f"{country} is not a supported country"):
        system.stripe.create("checkout/sessions", at_stripe)
    assert system.stripe.create("checkout/sessions", SESSION)["status"] == "open"


@pytest.fixture
def priced(system: System) -> Iterator[None]:
    """Give a product and a shipping option prices near the limits of Stripe's amounts."""
    prices = {"eur": 99_999_999, "idr": 105_000_000, "czk": 1000}
    path, option = f"/catalog/products/{SOCKS}", "/catalog/shipping-options/free"
    free: dict[str, Any] = {"name": "Free", "amounts": dict.fromkeys(prices, 0), "min_days": 1, "max_days": 2}
    product = {name: value for name, value in CATALOG[SOCKS].items() if name not in ("sku", "stock")}
    system.operate("PUT", "checkout", path, product | {"prices": prices}).raise_for_status()
    system.operate("PUT", "checkout", option, free).raise_for_status()
    yield
    system.operate("PUT", "checkout", option, free | {"active": False}).raise_for_status()
    system.operate("PUT", "checkout", path, product).raise_for_status()


@pytest.mark.usefixtures("priced")
def test_cart_of_a_million_rupiah_is_paid(system: System) -> None:
    shopper = Shopper(system, "rupiah")
    checkout = shopper.start_checkout({SOCKS: 1}, currency="idr", shipping_option="free")
    shopper.pay(checkout)
    paid = shopper.page(system.stripe.session(checkout["session_id"]), "paid")
    assert (paid["amount_total"], paid["currency"]) == (105_000_000, "idr")
    assert money(105_000_000, "en", "idr") in shopper.text("order_confirmed")


@pytest.mark.usefixtures("priced")
@pytest.mark.parametrize(
    ("currency", "quantity", "kind", "limit"),
    [("eur", 2, "amount-too-large", {"maximum": 99_999_999}), ("czk", 1, "amount-too-small", {"minimum": 1500})],
)
def test_cart_outside_of_stripes_limits_names_them(
    system: System, currency: str, quantity: int, kind: str, limit: dict[str, int]
) -> None:
    shopper = Shopper(system, kind)
    before = shopper.stock(SOCKS)
    answer = shopper.request_checkout({SOCKS: quantity}, currency=currency, shipping_option="free")
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, f"urn:clozit:problem:{kind}")
    assert {"currency": currency, **limit}.items() <= problem.items()
    assert shopper.stock(SOCKS) == before


def test_customer_with_an_idna_2008_domain_gets_the_mail(system: System) -> None:
    """IDNA 2003 would make another domain of it, `fass.de`."""
    shopper = Shopper(system, "idna")
    local, _, _ = shopper.email.partition("@")
    checkout = shopper.start_checkout({TEE: 1}, customer_email=f"{local}@faß.de")
    shopper.email = f"{local}@xn--fa-hia.de"
    assert system.stripe.session(checkout["session_id"])["customer_email"] == shopper.email
    shopper.pay(checkout)
    assert shopper.mail("order_confirmed").to == (shopper.email,)


@pytest.mark.parametrize("address", ["zoe", "zoe@exa mple.com", "zoe@-example.com", "zoe@xn--a.de", "zoë@example.com"])
def test_invalid_email_address_is_named(system: System, address: str) -> None:
    answer = Shopper(system, "invalid").request_checkout({TEE: 1}, customer_email=address)
    assert (answer.status_code, answer.json()["errors"].keys()) == (422, {"customer_email"})


def test_line_that_only_stripe_refuses_is_named(system: System) -> None:
    """The tax rate exists in no account, which only Stripe can know."""
    unknown = PRODUCT | {"tax_rates": ["txr_unknown"]}
    system.operate("PUT", "checkout", f"/catalog/products/{TEE}", unknown).raise_for_status()
    shopper = Shopper(system, "unknown rate")
    before = shopper.stock(TEE)
    answer = shopper.request_checkout({SOCKS: 1, TEE: 1})
    system.operate("PUT", "checkout", f"/catalog/products/{TEE}", PRODUCT).raise_for_status()
    [(line, errors)] = answer.json()["errors"]["items"].items()
    assert (answer.status_code, line, errors.keys()) == (422, "1", {"sku"})
    assert shopper.stock(TEE) == before


def test_checkout_with_a_refused_key_is_our_fault(
    system: System, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    shopper = Shopper(system, "refused")
    before = shopper.stock(TEE)
    stripe_of(system).add_fault(refusal, method="POST", count=9)
    answer = shopper.request_checkout({TEE: 1})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:clozit:problem:stripe-unauthorized")
    assert "Retry-After" not in answer.headers, "a repeat fails until an operator corrects the key"
    assert shopper.stock(TEE) == before
    assert "stripe refused the API key" in logged_errors(caplog)
    assert 'outcome="unauthorized"' in system.get("checkout", "/metrics").text, "the alert StripeRefusesKey counts it"


def test_refund_with_a_refused_key_waits_and_says_why(
    system: System, refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    shopper = Shopper(system, "refused refund")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    stripe_of(system).add_fault(refusal, method="POST", count=9)
    answer = shopper.operate(checkout, "refunds", all=True)
    assert (answer.status_code, answer.json()["status"]) == (202, "requested")
    assert "API key" in answer.json()["error"]
    entries = [entry["text"] for entry in shopper.order_field(checkout, "timeline")]
    assert "Stripe refused the shop's API key" in entries[-1]
    assert "stripe refused the API key" in logged_errors(caplog)
