"""Customers whose money or goods are not sure yet: what they read until it is decided."""

import re

import pytest
from notifications.template_loader import built_in_translations

from demo.scenarios.run import ScenarioRun
from demo.system import System
from tests.e2e.shopper import CATALOG, SOCKS, TEE, Shopper, money

LOCALES = sorted(built_in_translations())

pytestmark = pytest.mark.usefixtures("many_shirts")


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
