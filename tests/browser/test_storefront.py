"""The shop's pages in a real browser, in two sizes (phone and desktop), on the embedded system."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events import money
from events.testing import http
from events.testing.waiting import wait_until
from notifications.localization import format_money
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from demo.embedded import embedded_system
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.scenarios import payments
from demo.scenarios.run import ScenarioRun
from demo.shop.mailbox import Mailbox
from demo.system import System
from tests.e2e.shopper import SOCKS, TEE, Shopper

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
TIMEOUT_MS = 15_000  # for one state of a page


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, str]]:
    ports = Ports.find_free()
    with embedded_system(tmp_path_factory.mktemp("shop"), ports) as system:
        yield system, ports.url("shop")


def installed_browser() -> str | None:
    """Return the path of a browser that starts. Ubuntu's chromium-browser can be a script that only names a snap."""
    for path in filter(None, map(shutil.which, BROWSERS)):
        if subprocess.run([path, "--version"], check=False, capture_output=True).returncode == 0:
            return path
    return None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = installed_browser()
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            report = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            report("No browser starts. Install Chromium, or run `.venv/bin/playwright install --with-deps chromium`.")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)  # without a path: Playwright's own
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=SIZES[request.param], locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def fill_bag(page: Page, url: str, email: str) -> None:
    page.goto(url)
    product = page.get_by_test_id("product").filter(has_text="Organic cotton tee")
    product.get_by_test_id("add").click()
    if not page.get_by_test_id("bag").is_visible():
        page.get_by_test_id("open-bag").click()
    page.get_by_test_id("email").fill(email)


def check_out(page: Page) -> None:
    page.get_by_test_id("checkout").click()
    page.wait_for_url(re.compile(r"/c/pay/"))


def test_card_purchase_shows_success_page_and_mail(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    email = f"card-{id(page)}@example.com"
    fill_bag(page, url, email)
    check_out(page)
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name=re.compile("^Pay")).click()
    page.wait_for_url(re.compile(r"/success"))
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "paid", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("order-number")).to_contain_text("CL-")
    assert isinstance(system.mailbox, Mailbox)
    mail = system.mailbox.wait_for(lambda mail: email in mail.to)
    page.goto(f"{url}/mail")
    expect(page.get_by_test_id("mails")).to_contain_text(mail.subject)
    check_fits_width(page)


def test_bank_debit_is_pending_until_the_bank_answers(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    fill_bag(page, url, "sepa@example.com")
    check_out(page)
    session_id = page.url.rsplit("/", 1)[-1].split("?")[0]
    page.get_by_label("SEPA Direct Debit (succeeds later)").check()
    page.get_by_role("button", name=re.compile("^Pay")).click()
    page.wait_for_url(re.compile(r"/success"))
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "payment_debit", timeout=TIMEOUT_MS)
    system.stripe.settle(session_id)
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "paid", timeout=TIMEOUT_MS)


def test_voucher_is_pending_and_not_called_a_bank_debit(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    fill_bag(page, url, "voucher@example.com")
    check_out(page)
    session_id = page.url.rsplit("/", 1)[-1].split("?")[0]
    page.get_by_label("Voucher (paid later)").check()
    page.get_by_role("button", name=re.compile("^Pay")).click()
    page.wait_for_url(re.compile(r"/success"))
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "payment_voucher", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("order")).to_contain_text("Please pay your voucher")
    system.stripe.settle(session_id)
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "paid", timeout=TIMEOUT_MS)


def test_ach_debit_is_not_called_a_voucher(page: Page, shop: tuple[System, str]) -> None:
    """Stripe reports the debit of an account in the US, which the fake Stripe's payment page does not offer."""
    system, url = shop
    assert isinstance(system.stripe, FakeStripe)
    buyer = Shopper(system, "ach")
    checkout = buyer.start_checkout({SOCKS: 1})
    system.stripe.pay(checkout["session_id"], "sepa_success", buyer.email)
    charges = system.stripe.ledger["charges"]
    (charge,) = [each["id"] for each in charges if each["metadata"]["checkout_id"] == checkout["checkout_id"]]

    def order() -> dict[str, Any]:
        shown: dict[str, Any] = system.get("orders", f"/orders/by-session/{checkout['session_id']}").json()
        return shown

    wait_until(lambda: order().get("payment_method") == "sepa_debit")
    body = {"type": "charge.pending", "object_id": charge}
    ach = {"overrides": {"payment_method_details": {"type": "us_bank_account"}}}
    http.post(f"{system.stripe.url}/_control/trigger", json=body | ach).raise_for_status()
    wait_until(lambda: order()["payment_method"] == "us_bank_account")
    assert order()["has_instructions"] is False
    page.goto(f"{url}/success?session_id={checkout['session_id']}")
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "payment_debit", timeout=TIMEOUT_MS)
    system.stripe.settle(checkout["session_id"])


def test_success_page_shows_what_stripe_charged(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    run = ScenarioRun(system, "success page")
    payments.tax(run)
    session_id = next(
        session["id"] for session in system.stripe.ledger["sessions"] if session["customer_email"] == run.email
    )
    page.goto(f"{url}/success?session_id={session_id}")
    sums = page.get_by_test_id("sums")
    expect(sums).to_contain_text("Tax€11.21", timeout=TIMEOUT_MS)
    expect(sums).to_contain_text("Total€75.11")
    check_fits_width(page)


def test_success_page_has_the_sums_of_the_mails(page: Page, shop: tuple[System, str]) -> None:
    """Taxes of two kinds in one order, an order that was paid twice, and one with nothing to pay."""
    system, url = shop
    buyer = Shopper(system, "same sums")
    with buyer.taxed(TEE, "19", inclusive=True), buyer.taxed(SOCKS, "7", inclusive=False):
        mixed = buyer.start_checkout({TEE: 1, SOCKS: 1})
    twice, free = buyer.start_checkout({SOCKS: 1}), free_checkout(buyer)
    system.stripe.expire(twice["session_id"])
    recovered = [system.stripe.recover(twice["session_id"])["id"] for _ in range(2)]
    for session_id in (mixed["session_id"], free["session_id"], *recovered):
        system.stripe.pay(session_id, "card", buyer.email)
    both = 2 * twice["amount_total"]
    buyer.check("It is paid twice", both, lambda: buyer.order_field(twice, "amount_paid"))
    sums, order = page.get_by_test_id("sums"), page.get_by_test_id("order")
    for session_id, words in (
        (mixed["session_id"], ["Tax€1.04", "incl. VAT€3.19", "Total€40.83"]),
        (recovered[1], ["Total€19.80", "Paid€39.60"]),
    ):
        page.goto(f"{url}/success?session_id={session_id}")
        for word in words:
            expect(sums).to_contain_text(word, timeout=TIMEOUT_MS)
    page.goto(f"{url}/success?session_id={free['session_id']}")
    expect(order).to_have_attribute("data-status", "free", timeout=TIMEOUT_MS)
    expect(order).to_contain_text("There is nothing to pay")
    expect(order).not_to_contain_text("received your payment")


def free_checkout(buyer: Shopper) -> dict[str, Any]:
    """Start a checkout whose discount and shipping option leave nothing to pay."""
    gift = {"name": "Gift", "amounts": {"eur": 0}, "min_days": 1, "max_days": 3}
    buyer.system.operate("PUT", "checkout", "/catalog/shipping-options/gift", gift).raise_for_status()
    buyer.system.operate("PUT", "checkout", "/catalog/discounts/GIFT", {"percent_off": 100}).raise_for_status()
    return buyer.start_checkout({SOCKS: 1}, discount_code="gift", shipping_option="gift")


def test_success_page_shows_what_was_decided(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    run = ScenarioRun(system, "decided")

    def shown(checkout: dict[str, str]) -> Locator:
        page.goto(f"{url}/success?session_id={checkout['session_id']}")
        return page.get_by_test_id("order")

    canceled, shipped = run.start_checkout({"SOC-MER-SLA-3640": 1}), run.start_checkout({"SOC-MER-SLA-3640": 1})
    run.pay(canceled)
    run.pay(shipped)
    assert run.operate(canceled, "cancel", refund=False).status_code == 200
    expect(shown(canceled)).to_have_attribute("data-status", "order_canceled", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("order")).not_to_contain_text("Nothing was charged")
    assert run.operate(shipped, "shipments", all=True).status_code == 201
    system.stripe.warn(shipped["session_id"])
    run.check("It is reviewed", True, lambda: run.order_field(shipped, "needs_review"))
    assert run.operate(shipped, "review", decision="cancel").status_code == 200
    expect(shown(shipped)).to_have_attribute("data-status", "fulfilled", timeout=TIMEOUT_MS)
    part = run.start_checkout({"SOC-MER-SLA-3640": 2})
    run.pay(part)
    lines = [{"sku": "SOC-MER-SLA-3640", "quantity": 1}]
    assert run.operate(part, "shipments", lines=lines).status_code == 201
    system.stripe.warn(part["session_id"])
    run.check("It is reviewed", True, lambda: run.order_field(part, "needs_review"))
    assert run.operate(part, "review", decision="cancel").status_code == 200
    expect(shown(part)).to_have_attribute("data-status", "review_shipped", timeout=TIMEOUT_MS)
    expect(page.get_by_test_id("order")).to_contain_text("Nothing more will be shipped.")


def test_success_page_stops_at_an_answer_that_is_final(page: Page, shop: tuple[System, str]) -> None:
    page.goto(f"{shop[1]}/success?session_id=not-a-session")
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "unknown", timeout=TIMEOUT_MS)


def test_cancel_releases_the_stock_and_keeps_the_bag(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop

    def reserved() -> int:
        items = system.get("inventory", "/stock?limit=200", operator=True).json()["items"]
        return sum(item["reserved"] for item in items)

    before = reserved()
    fill_bag(page, url, "cancel@example.com")
    check_out(page)
    assert reserved() == before + 1
    page.get_by_role("link", name=re.compile("back|cancel", re.IGNORECASE)).first.click()
    page.wait_for_url(re.compile(r"/cancel"))
    expect(page.get_by_test_id("cancel")).to_have_attribute("data-status", "released", timeout=TIMEOUT_MS)
    assert reserved() == before
    page.goto(url)
    expect(page.get_by_test_id("bag-count")).to_contain_text("1")


def test_cancel_page_of_a_paid_order_does_not_call_it_unpaid(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    run = ScenarioRun(system, "canceled late")
    checkout = run.start_checkout({"SOC-MER-SLA-3640": 1})
    run.pay(checkout)
    page.goto(f"{url}/cancel?checkout_id={checkout['checkout_id']}")
    expect(page.get_by_test_id("cancel")).to_have_attribute("data-status", "closed", timeout=TIMEOUT_MS)
    expect(page.get_by_role("heading")).to_have_text("Your order is already complete.")


def test_operator_refunds_and_ships(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    run = ScenarioRun(system, "operated")
    checkout = run.start_checkout({"SOC-MER-SLA-3640": 2})
    run.pay(checkout)
    page.goto(f"{url}/operator#token={system.operator_token}")
    page.get_by_test_id("orders").get_by_text(run.order_field(checkout, "number")).click()
    amount = page.get_by_label(re.compile("^Amount"))
    for mistyped in ("14,90 €", "14.90 €", "1e1", "1.000,00", "-1", "999"):
        amount.fill(mistyped)
        expect(page.get_by_role("button", name="Refund", exact=True)).to_be_disabled()
    expect(page.get_by_role("button", name=re.compile("^Refund all: €"))).to_be_visible()
    amount.fill("14.90")
    page.get_by_role("button", name="Refund €14.90").click()
    expect(page.get_by_test_id("states")).to_contain_text("refund: partial")
    page.get_by_label("Tracking number").fill("JD014600003")
    page.get_by_role("button", name="Ship all remaining items").click()
    expect(page.get_by_test_id("states")).to_contain_text(re.compile(r"\bfulfilled"))
    check_fits_width(page)
    page.goto(f"{url}/success.html?session_id={checkout['session_id']}")
    expect(page.get_by_test_id("parcels")).to_contain_text("Shipped with DHL, JD014600003")
    expect(page.get_by_test_id("sums")).to_contain_text("-€14.90")
    check_fits_width(page)


def test_operator_reads_what_stripe_charged(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    session = Shopper(system, "charged").buy(tax="added", code=True)
    agreed, number = "€44.88", ScenarioRun(system, "charged").order_field(session["metadata"], "number")
    page.goto(f"{url}/operator#token={system.operator_token}")
    row = page.get_by_test_id("orders").get_by_text(number)
    expect(row).to_contain_text("€42.96")
    row.click()
    sums = ("€39.98", "Subtotal€39.98", "Discount-€8.00", "Shipping€4.90", "Tax€6.08", "Total€42.96")
    for words in sums:
        expect(page.get_by_test_id("order")).to_contain_text(words)
    expect(page.get_by_test_id("sums")).not_to_contain_text(agreed)
    expect(page.get_by_test_id("orders").get_by_role("button").filter(has_text=number)).not_to_contain_text(agreed)


def test_operator_reads_what_can_still_be_refunded(page: Page, shop: tuple[System, str]) -> None:
    """One refund of 10.00 EUR is under way, then the button refunds the rest and is gone."""
    system, url = shop
    run = ScenarioRun(system, "under way")
    checkout = run.start_checkout({"SOC-MER-SLA-3640": 2})
    run.pay(checkout)
    rest = checkout["amount_total"] - 1000
    system.stripe.queue_refund_status("pending")
    assert run.operate(checkout, "refunds", amount=1000).status_code == 201
    assert run.order_field(checkout, "amount_refunded") == 0
    page.goto(f"{url}/operator#token={system.operator_token}")
    page.get_by_test_id("orders").get_by_text(run.order_field(checkout, "number")).click()
    page.get_by_role("button", name=f"Refund all: €{rest // 100}.{rest % 100:02}").click()
    expect(page.get_by_test_id("refund")).to_have_count(0)
    assert sorted(refund["amount"] for refund in run.order_field(checkout, "refunds")) == sorted([1000, rest])
    expect(page.get_by_test_id("problem")).to_be_empty()


def test_bag_opens_and_closes_by_keyboard(page: Page, shop: tuple[System, str]) -> None:
    _, url = shop
    page.goto(url)
    expect(page.get_by_test_id("product").first).to_be_visible()
    add = page.get_by_test_id("product").filter(has_text="Organic cotton tee").get_by_test_id("add")
    add.focus()
    page.keyboard.press("Enter")
    if not page.get_by_test_id("bag").is_visible():
        page.get_by_test_id("open-bag").focus()
        page.keyboard.press("Enter")
    expect(page.get_by_test_id("bag")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("bag")).not_to_be_visible()


def check_fits_width(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_pages_and_mails_show_the_same_decimals(shop: tuple[System, str], browser: Browser) -> None:
    amounts = [(minor, currency) for currency in sorted(money.SUPPORTED) for minor in (100, 123450, 123456700)]
    page = browser.new_page()
    page.goto(f"{shop[1]}/money.js")  # a page without images, which could be cut off at its end
    written = page.evaluate(
        """async (amounts) => {
            const { formatMoney } = await import("/money.js");
            return amounts.map(([minor, currency]) => formatMoney(minor, currency, "en"));
        }""",
        amounts,
    )
    page.close()
    mailed = [format_money(minor, currency, "en") for minor, currency in amounts]
    assert [re.findall(r"\d[\d.,]*", text) for text in written] == [re.findall(r"\d[\d.,]*", text) for text in mailed]
