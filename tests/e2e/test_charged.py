"""Sums that people read are what Stripe charged: from a purchase at the fake Stripe to e-mails and the success page."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from events import stripe_api
from events.database.engine import Database
from events.messaging.contracts.registry import SCHEMAS
from events.messaging.contracts.shared import Contract
from events.messaging.outbox import OutboxEvent
from events.testing.waiting import wait_until
from marshmallow import Schema, fields
from notifications.template_loader import built_in_translations, placeholders
from orders.refunds.gateway import RefundGateway
from sqlalchemy import select

from demo.embedded import embedded_system
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.scenarios.run import ScenarioRun
from demo.system import System
from tests.e2e.shopper import CATALOG, ROOT, SOCKS, TEE, TIMEOUT_S, Shopper, at_stripe, money

TEMPLATES = ROOT / "services" / "notifications" / "notifications" / "templates"
LOCALES = sorted(built_in_translations())
SHOWN_ELSEWHERE = {  # (class, field) whose producers need settings that this system does not have
    ("OrderExpired", "promotions_consent"),  # CONSENT_PROMOTIONS; services/orders/tests/integration/test_facts.py
}

# Every sum in a template or text, and where Stripe says it. A line's price is the one that the session was made with.
SOURCES: Mapping[str, Callable[[dict[str, Any]], int]] = {
    "subtotal": lambda stripe: stripe["session"]["amount_subtotal"],
    "discount": lambda stripe: -stripe["session"]["total_details"]["amount_discount"],
    "shipping": lambda stripe: stripe["session"]["total_details"]["amount_shipping"],
    "added_tax": lambda stripe: stripe["session"]["total_details"]["amount_tax"],
    "included_tax": lambda stripe: stripe["session"]["total_details"]["amount_tax"],
    "total": lambda stripe: stripe["session"]["amount_total"],
    "statement": lambda stripe: stripe["session"]["presentment_details"]["presentment_amount"],
    "paid": lambda stripe: sum(charge["amount_captured"] for charge in stripe["charges"]),
    "refund": lambda stripe: stripe["refunds"][0]["amount"],
    "refund_statement": lambda stripe: stripe["refunds"][0]["presentment_details"]["presentment_amount"],
    "refunded": lambda stripe: sum(refund["amount"] for refund in stripe["refunds"]),
    "disputed": lambda stripe: stripe["disputes"][0]["amount"],
    "line.unit_amount": lambda stripe: stripe["lines"][0]["price"]["unit_amount"],
    "line.unit_amount * line.quantity": lambda stripe: stripe["lines"][0]["amount_subtotal"],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Path]]:
    folder = tmp_path_factory.mktemp("system")
    with embedded_system(folder, Ports.find_free()) as system:
        delivery = {"adjust": 200, "reason": "a delivery"}
        key = {"Idempotency-Key": "delivery"}
        system.operate("POST", "inventory", f"/stock/{TEE}/movements", delivery, **key).raise_for_status()
        yield system, folder


@pytest.fixture
def system(running: tuple[System, Path]) -> System:
    return running[0]


def url_of(system: System) -> str:
    """Return the address of the fake Stripe in this process."""
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe.url


def test_every_sum_of_every_template_has_its_source_at_stripe() -> None:
    used: set[str] = set()
    for template in TEMPLATES.iterdir():
        source = template.read_text("utf-8")
        used |= set(re.findall(r"\bamounts\.(\w+)", source)) | set(re.findall(r"\bmoney\(([^)]*)\)", source))
        assert not re.findall(r"\border\.\w*amount\w*", source), template
    plain = {"number", "sku", "available", "threshold", "resolved_by", "shop", "name", "label", "value", "due"}
    plain |= {"checkout_id", "until"}
    plain |= {"quantity", "price", "day", "time", "count"}  # the price of a line is written by `money`
    for texts in built_in_translations().values():
        used |= {name for section in texts.values() for text in section.values() for name in placeholders(text)} - plain
    assert used == set(SOURCES)


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
        assert money(SOURCES[name](stripe), locale) in confirmed, name
    assert money(SOURCES["statement"](stripe), locale, "jpy") in confirmed
    assert agreed not in confirmed

    system.stripe.refund(session["id"], amount=1000)
    refunded = shopper.text("refund_succeeded")
    system.stripe.open_dispute(session["id"])
    disputed = shopper.text("staff_dispute_opened")
    stripe = at_stripe(system, session)
    for name in ("refund", "refunded", "paid"):
        assert money(SOURCES[name](stripe), locale) in refunded, name
    for name in ("disputed", "total", "paid"):
        assert money(SOURCES[name](stripe), "en") in disputed, name
    assert money(SOURCES["refund_statement"](stripe), locale, "jpy") in refunded
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


@pytest.mark.parametrize("locale", LOCALES)
def test_delayed_payment_shows_the_charged_sum_and_the_voucher(system: System, locale: str) -> None:
    total = 3998 + 490 + 760
    shopper = Shopper(system, f"voucher {locale}", locale)
    session = shopper.buy(tax="added", method="voucher")
    instructions = shopper.mail("payment_instructions")
    assert f"/voucher/{session['payment_intent']}" in instructions.text
    assert f"/voucher/{session['payment_intent']}" in instructions.html
    assert money(total, locale) in shopper.text("payment_instructions")
    page = shopper.page(session, "payment_pending")
    assert (page["amount_total"], page["payment_method"]) == (total, "multibanco")
    assert page["voucher_expires_at"]
    assert system.stripe.settle(session["id"])
    assert shopper.page(session, "paid")["payment_method"] is None
    assert money(total, locale) in shopper.text("order_confirmed")

    late = Shopper(system, f"voucher expires {locale}", locale)
    session = late.buy(tax="added", method="voucher_expires")
    assert system.stripe.settle(session["id"])
    assert late.page(session, "payment_failed")["amount_total"] == total
    failed = late.text("payment_failed")
    assert money(total, locale) in failed
    assert money(4488, locale) not in failed


@pytest.fixture
def foreign_prices(system: System) -> str:
    """Return a sku with prices and shipping in the currencies of vouchers and bank transfers."""
    sku = SOCKS
    product = {name: value for name, value in CATALOG[sku].items() if name not in ("sku", "stock")}
    prices = product["prices"] | {"brl": 9900, "gbp": 1290, "mxn": 29900}
    system.operate("PUT", "checkout", f"/catalog/products/{sku}", product | {"prices": prices}).raise_for_status()
    option = {"name": "World", "amounts": {"brl": 4900, "gbp": 490, "mxn": 9900}, "min_days": 3, "max_days": 9}
    system.operate("PUT", "checkout", "/catalog/shipping-options/world", option).raise_for_status()
    return sku


@pytest.mark.parametrize(
    ("currency", "way", "method", "locale"),
    [
        ("brl", "voucher", "boleto", "fr"),
        ("jpy", "voucher", "konbini", "ja"),
        ("mxn", "voucher", "oxxo", "en"),
        *[("gbp", "bank_transfer", "bank_transfer", locale) for locale in LOCALES],
    ],
)
def test_customer_who_must_still_pay_reads_how(
    system: System, foreign_prices: str, currency: str, way: str, method: str, locale: str
) -> None:
    shopper = Shopper(system, f"{method} {locale}", locale)
    checkout = shopper.start_checkout({foreign_prices: 1}, currency=currency, shipping_option=None, locale=locale)
    system.stripe.pay(checkout["session_id"], way, shopper.email)
    session = system.stripe.session(checkout["session_id"])
    page = shopper.page(session, "payment_pending")
    assert (page["payment_method"], page["confirmed"]) == (method, False)
    assert bool(page["voucher_expires_at"]) == (way == "voucher")
    mail, texts = shopper.mail("payment_instructions"), built_in_translations()[locale]
    lead, button = ("lead_bank_transfer", "button_bank_transfer") if way == "bank_transfer" else ("lead", "button")
    total = money(checkout["amount_total"], locale, currency)
    text = "".join(mail.text.split())  # Japanese lines break anywhere
    for expected in (texts["payment_instructions"][lead].format(total=total), texts["payment_instructions"][button]):
        assert "".join(expected.split()) in text
    link = "/bank_transfers/instructions/" if way == "bank_transfer" else f"/voucher/{session['payment_intent']}"
    assert link in mail.text
    assert link in mail.html
    nothing_to_do = re.split(r"[.。]", texts["payment_pending"]["note_debit"])[0]
    assert system.stripe.settle(session["id"])
    shopper.page(session, "paid")
    shopper.mail("order_confirmed")
    about = [each for each in system.mailbox.messages if shopper.email in each.to]
    assert not [each.subject for each in about if "".join(nothing_to_do.split()) in "".join(each.text.split())]


def test_customer_of_a_bank_debit_learns_that_it_is_on_its_way(system: System) -> None:
    shopper = Shopper(system, "pending")
    session = shopper.buy(method="sepa_success")  # the page offered vouchers, too
    shopper.mail("payment_pending")
    assert shopper.page(session, "payment_pending")["payment_method"] == "sepa_debit"
    system.stripe.settle(session["id"])


@pytest.mark.parametrize(("decision", "kind"), [("accept", "order_confirmed"), ("cancel", "order_canceled")])
@pytest.mark.parametrize("locale", LOCALES)
def test_customer_of_a_sold_out_cart_reads_check_and_decision(
    system: System, locale: str, decision: str, kind: str
) -> None:
    shopper = Shopper(system, f"oversold {locale} {decision}", locale)
    sku = "JNS-STR-IND-36"
    pieces = shopper.stock(sku).on_hand
    late = shopper.start_checkout({sku: pieces}, locale=locale)
    system.stripe.expire(late["session_id"])
    shopper.check("The jeans are available", 0, lambda: shopper.stock(sku).reserved)
    other = ScenarioRun(system, "the other customer")
    other.pay(other.start_checkout({sku: pieces}))
    other.check("They are sold", 0, lambda: other.stock(sku).on_hand)
    recovered = system.stripe.recover(late["session_id"])
    system.stripe.pay(recovered["id"], "card", shopper.email)
    shopper.mail("order_in_review")
    shopper.check("The order waits", True, lambda: shopper.order_field(late, "needs_review"))
    assert "order_confirmed" not in shopper.emails_about(late)
    page = shopper.success_page(late)
    assert (page["status"], page["confirmed"], page["needs_review"]) == ("paid", False, True)
    assert shopper.operate(late, "review", decision=decision).status_code == 200
    assert money(shopper.order_field(late, "amount_paid"), locale) in shopper.text(kind)
    key = {"Idempotency-Key": f"{locale}-{decision}"}
    stock = {"adjust": pieces, "reason": "a delivery"}
    system.operate("POST", "inventory", f"/stock/{sku}/movements", stock, **key).raise_for_status()


def test_recovered_cart_whose_stock_is_there_is_confirmed(system: System) -> None:
    shopper = Shopper(system, "recovered")
    checkout = shopper.start_checkout({TEE: 1})
    system.stripe.expire(checkout["session_id"])
    recovered = system.stripe.recover(checkout["session_id"])
    system.stripe.pay(recovered["id"], "card", shopper.email)
    shopper.mail("order_confirmed")
    assert "order_in_review" not in shopper.emails_about(checkout)


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
    assert (line["quantity"], line["amount_subtotal"], line["amount_total"]) == (2, 3998, 3598)


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


def test_every_optional_field_of_an_event_has_a_producer(running: tuple[System, Path]) -> None:
    """Look at what the services have published in this module's purchases, and in those of this test."""
    system, folder = running
    shopper = Shopper(system, "producers")
    session = shopper.buy(method="failing_refund", code=True, presentment_currency="jpy", presentment_amount="7332")
    shopper.page(session, "paid")
    system.stripe.refund(session["id"], amount=500)
    shopper.mail("staff_refund_failed")
    shopper.buy(method="voucher")
    shopper.mail("payment_instructions")
    twice = shopper.start_checkout({TEE: 2})
    system.stripe.expire(twice["session_id"])
    shopper.check("It expires", "expired", lambda: shopper.status(twice))
    for _ in range(2):
        system.stripe.pay(system.stripe.recover(twice["session_id"])["id"], "card", shopper.email)
        shopper.mail("order_confirmed")
        shopper.check("It is confirmed", True, lambda: "order_confirmed" in shopper.emails_about(twice))
    shopper.check("It is paid twice", "duplicate-payment", lambda: shopper.order_field(twice, "review_reason"))
    shopper.operate(twice, "review", decision="refund").raise_for_status()
    parcel: dict[str, Any] = {"carrier": "DHL", "tracking": "1", "tracking_url": "https://track.example/1"}
    parcel["lines"] = [{"sku": TEE, "quantity": 1}]
    shopper.check("It ships", 201, lambda: shopper.operate(twice, "shipments", **parcel).status_code)
    canceled = shopper.start_checkout({TEE: 2}, discount_code="WELCOME10")
    shopper.pay(canceled)
    assert shopper.operate(canceled, "cancel", refund=True).is_success
    shopper.check("The rest ships", 201, lambda: shopper.operate(twice, "shipments", all=True).status_code)
    kept = shopper.start_checkout({TEE: 1})
    shopper.pay(kept)
    system.stripe.open_dispute(kept["session_id"])
    shopper.check("It is disputed", "open", lambda: shopper.order_field(kept, "dispute_status"))
    assert shopper.operate(kept, "cancel", refund=False).is_success
    system.stripe.advance_dispute(kept["session_id"], "under_review")
    left = shopper.start_checkout({TEE: 1})
    system.post("checkout", f"/checkout/sessions/{left['checkout_id']}/cancel").raise_for_status()
    sold_again(shopper)
    disputed = shopper.buy()
    shopper.page(disputed, "paid")
    system.stripe.open_dispute(disputed["id"])
    shopper.mail("staff_dispute_opened")
    decided = shopper.start_checkout({TEE: 1})
    shopper.pay(decided)
    assert shopper.operate(decided, "shipments", all=True).status_code == 201
    system.stripe.open_review(decided["session_id"])
    system.stripe.warn(decided["session_id"])
    shopper.check("It has two reviews", 2, lambda: len(shopper.order_field(decided, "reviews")))
    assert shopper.operate(decided, "review", decision="cancel").is_success
    wanted = {
        (declared_by(type(schema), name), name)
        for schema in SCHEMAS.values()
        for name, field in schema.fields.items()
        if not field.required
    }
    wanted -= SHOWN_ELSEWHERE
    wanted |= {("Charged", "presentment_currency"), ("Charged", "presentment_amount")}
    missing = wanted
    with suppress(TimeoutError):
        wait_until(lambda: not (wanted - filled_fields(folder)), TIMEOUT_S, "all fields")
    missing = wanted - filled_fields(folder)
    assert missing == set()


def declared_by(schema: type, name: str) -> str:
    """Return the name of the class in which a field of a contract is declared."""
    bases = [each for each in schema.__mro__ if issubclass(each, Contract)]
    return [each.__name__ for each in bases if name in each._declared_fields][-1]


def filled_fields(folder: Path) -> set[tuple[str, str]]:
    """Return (class, field) of each field that a published order event has filled."""
    filled: set[tuple[str, str]] = set()
    for service in ("checkout", "orders", "inventory"):
        database = Database(f"sqlite:///{folder / service}.db")
        with database.read() as session:
            events = [row.event() for row in session.scalars(select(OutboxEvent))]
        database.dispose()
        for event in events:
            if (event.type, 1) in SCHEMAS:
                filled |= filled_fields_of(SCHEMAS[event.type, 1], event.data)
    return filled


def filled_fields_of(schema: Schema, data: Mapping[str, Any]) -> set[tuple[str, str]]:
    filled = {(declared_by(type(schema), name), name) for name, value in data.items() if value not in (None, [], False)}
    for name, value in data.items():
        nested = schema.fields.get(name)
        if isinstance(nested, fields.Nested) and isinstance(value, dict):
            filled |= {(type(nested.schema).__name__, key) for key, inner in value.items() if inner is not None}
    return filled


def sold_again(shopper: Shopper) -> None:
    """Refund a piece with restock, sell it to another customer, and let the refund fail."""
    sku = "SKT-WRP-PLU-40"  # no other test uses it, because its stock stays empty
    first = shopper.start_checkout({sku: 1})
    shopper.pay(first)
    shopper.system.stripe.queue_refund_status("pending")
    assert shopper.operate(first, "refunds", all=True, restock=True).status_code == 201
    refund_id = shopper.order_field(first, "refunds")[0]["id"]
    shopper.check("It is for sale", True, lambda: shopper.stock(sku).on_hand > 0)
    other = ScenarioRun(shopper.system, "another customer")
    left = shopper.stock(sku).on_hand
    other.pay(other.start_checkout({sku: left}))
    other.check("It is sold out", 0, lambda: other.stock(sku).on_hand)
    shopper.system.stripe.advance_refund(refund_id, "failed")
    shopper.check("It is reviewed", "oversold", lambda: shopper.order_field(first, "review_reason"))
