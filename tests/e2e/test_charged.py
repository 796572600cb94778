"""Sums that people read are what Stripe charged: from a purchase at the fake Stripe to e-mails and the success page."""

import re

import pytest
from events import stripe_api
from notifications.template_loader import built_in_translations
from orders.refunds.gateway import RefundGateway

from demo.fake_stripe.server import FakeStripe
from demo.system import System
from tests.e2e.shopper import CATALOG, SOCKS, TEE, Shopper, at_stripe, money
from tests.e2e.sources import SOURCES

LOCALES = sorted(built_in_translations())

pytestmark = pytest.mark.usefixtures("many_shirts")


def url_of(system: System) -> str:
    """Return the address of the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe.url


@pytest.mark.parametrize("locale", LOCALES)
def test_mails_and_success_page_show_what_stripe_charged(system: System, locale: str) -> None:
    shopper = Shopper(system, f"charged {locale}", locale)
    statement = {"presentment_currency": "jpy", "presentment_amount": "7332"}
    session = shopper.buy(tax="added", code=True, **statement)
    agreed = money(4488, locale)
    page = shopper.page(session, "paid")
    details = session["total_details"]
    assert (session["amount_total"], details["amount_tax"], details["amount_discount"]) == (4296, 608, 800)
    assert {name: page[name] for name in ("amount_total", "amount_tax", "amount_discount", "tax_included")} == {
        "amount_total": 4296,
        "amount_tax": 608,
        "amount_discount": 800,
        "tax_included": False,
    }
    assert (page["presentment_currency"], page["presentment_amount"]) == ("jpy", 7332)
    confirmed = shopper.text("order_confirmed")
    stripe = at_stripe(system, session)
    shown = (
        "subtotal",
        "discount",
        "shipping",
        "added_tax",
        "total",
        "line.unit_amount",
        "line.unit_amount * line.quantity",
    )
    for name in shown:
        assert money(SOURCES[name].at_stripe(stripe), locale) in confirmed, name
    assert money(SOURCES["statement"].at_stripe(stripe), locale, "jpy") in confirmed
    assert agreed not in confirmed

    system.stripe.refund(session["id"], amount=1000)
    refunded = shopper.text("refund_succeeded")
    system.stripe.open_dispute(session["id"])
    disputed = shopper.text("staff_dispute_opened")
    stripe = at_stripe(system, session)
    for name in ("refund", "refunded", "paid"):
        assert money(SOURCES[name].at_stripe(stripe), locale) in refunded, name
    for name in ("disputed", "total", "paid"):
        assert money(SOURCES[name].at_stripe(stripe), "en") in disputed, name
    assert money(SOURCES["refund_statement"].at_stripe(stripe), locale, "jpy") in refunded
    assert agreed not in refunded
    assert money(4488, "en") not in disputed


def test_lines_add_up_to_the_subtotal_before_a_discount(system: System) -> None:
    shopper = Shopper(system, "discounted")
    checkout = shopper.start_checkout({TEE: 2}, discount_code="WELCOME10")
    shopper.pay(checkout)
    session = system.stripe.session(checkout["session_id"])
    assert session["total_details"]["amount_discount"] > 0
    subtotal = session["amount_subtotal"]
    [line] = shopper.success_page(checkout)["lines"]
    assert line["amount_subtotal"] == subtotal
    assert f"2 × {money(subtotal // 2, 'en')} = {money(subtotal, 'en')}" in shopper.text("order_confirmed")  # noqa: RUF001


@pytest.mark.parametrize(
    ("locale", "words"), [("en", "incl. VAT"), ("de", "inkl. MwSt."), ("fr", "dont TVA"), ("ja", "うち消費税")]
)
def test_tax_within_the_prices_is_said_so(system: System, locale: str, words: str) -> None:
    shopper = Shopper(system, f"included {locale}", locale)
    session = shopper.buy(tax="included")
    page = shopper.page(session, "paid")
    assert (page["amount_total"], page["amount_tax"], page["tax_included"]) == (4488, 638, True)
    assert re.search(rf"{re.escape(words)}\W{{1,3}}{re.escape(money(638, locale))}", shopper.text("order_confirmed"))


@pytest.mark.parametrize(
    ("country", "subject"), [("FR", "est confirmée"), ("DE", "ist bestätigt"), ("US", "is confirmed")]
)
def test_country_chooses_the_language_where_the_shop_gave_none(system: System, country: str, subject: str) -> None:
    shopper = Shopper(system, f"country {country}", None)
    shopper.buy(country=country)
    assert subject in shopper.mail("order_confirmed").subject


INVISIBLE = {  # in names: joiners, marks of direction, a soft hyphen, and the tags of a flag
    "persian": "می\u200cخواهم",  # noqa: RUF001
    "hindi": "क्\u200dष",
    "emoji": "\U0001f469\u200d\U0001f9b0",
    "hebrew": "\u200fד״ר כהן\u200e (J\u200fR)",
    "german": "Baum\u00adgärtner",
    "thai": "สม\u200bชาย",
    "flag": "Zoë \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
}


@pytest.mark.parametrize("name", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_name_keeps_invisible_characters_up_to_the_mail(system: System, name: str) -> None:
    shopper = Shopper(system, "invisible")
    shopper.buy(name=name)
    assert name in shopper.mail("order_confirmed").text


def test_partial_shipment_lists_what_is_still_to_come(system: System) -> None:
    shopper = Shopper(system, "parcels")
    checkout = shopper.start_checkout({TEE: 2, SOCKS: 1})
    shopper.pay(checkout)
    assert shopper.operate(checkout, "shipments", lines=[{"sku": TEE, "quantity": 1}]).status_code == 201
    still_to_come = shopper.text("order_shipped").partition("Still to come:")[2]
    assert f"1 × {CATALOG[TEE]['name']}" in still_to_come  # noqa: RUF001
    assert f"1 × {CATALOG[SOCKS]['name']}" in still_to_come  # noqa: RUF001


@pytest.mark.parametrize("added", [TEE, SOCKS], ids=["19 % added", "7 % added"])
def test_lines_of_two_tax_rates_are_refunded_to_the_unit(system: System, added: str) -> None:
    """One product's taxes are part of its price, the other one's are added. Each line is refunded by itself."""
    shopper = Shopper(system, "two rates")
    with shopper.taxed(TEE, "19", inclusive=added != TEE), shopper.taxed(SOCKS, "7", inclusive=added != SOCKS):
        checkout = shopper.start_checkout({TEE: 3, SOCKS: 1})
        shopper.pay(checkout)
    session = system.stripe.session(checkout["session_id"])
    charged = {
        item["price"]["product"]["metadata"]["sku"]: item["amount_total"]
        for item in RefundGateway(stripe_api.client("sk_test_demo", url_of(system), retries=0)).line_items(
            session["id"]
        )
    }
    assert sum(charged.values()) == session["amount_total"] - session["shipping_cost"]["amount_total"]
    first, socks, rest = [
        shopper.operate(checkout, "refunds", lines=[{"sku": sku, "quantity": pieces}])
        .raise_for_status()
        .json()["amount"]
        for sku, pieces in ((TEE, 1), (SOCKS, 1), (TEE, 2))
    ]
    shopper.check("Three refunds are made", 3, lambda: len(shopper.order_field(checkout, "refunds")))
    assert (socks, first + rest) == (charged[SOCKS], charged[TEE])
    assert abs(first * 3 - charged[TEE]) < 3, "a third, to the unit"
    assert shopper.operate(checkout, "refunds", all=True).status_code == 201
    shopper.check("All is refunded", "full", lambda: shopper.order_field(checkout, "refund_status"))
    found = at_stripe(system, session)
    assert sum(refund["amount"] for refund in found["refunds"]) == session["amount_total"]


@pytest.mark.parametrize("locale", LOCALES)
def test_line_has_its_price_before_the_discount_below_it(system: System, locale: str) -> None:
    shopper = Shopper(system, f"discount {locale}", locale)
    system.operate("PUT", "checkout", "/catalog/discounts/TENTH", {"percent_off": 10}).raise_for_status()
    checkout = shopper.start_checkout({TEE: 2}, locale=locale, discount_code="tenth")
    shopper.pay(checkout)
    confirmed = shopper.text("order_confirmed")
    assert f" = {money(3998, locale)}" in confirmed
    assert money(-400, locale) in confirmed
    assert money(3598, locale) not in confirmed
    [line] = shopper.page(checkout | {"id": checkout["session_id"]}, "paid")["lines"]
    assert (line["quantity"], line["amount_subtotal"], line.get("amount_total")) == (2, 3998, None)


def test_refund_says_what_the_customers_statement_shows(system: System) -> None:
    shopper = Shopper(system, "yen")
    session = shopper.buy(presentment_currency="jpy", presentment_amount="7333")
    shopper.page(session, "paid")
    system.stripe.refund(session["id"], amount=1000)
    system.stripe.refund(session["id"])

    def shown() -> list[tuple[str, int]]:
        refunds = shopper.order_field(session["metadata"], "refunds")
        return [(refund["presentment_currency"], refund["presentment_amount"]) for refund in refunds]

    shopper.check("Both refunds are booked", 2, lambda: len(shown()))
    assert [currency for currency, _ in shown()] == ["jpy", "jpy"]
    assert sum(amount for _, amount in shown()) == 7333
