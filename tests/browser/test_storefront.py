"""Purchases in the demo's shop with a real browser, on a phone and on a desktop, with the embedded system."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from demo.embedded import running
from demo.playing import Play
from demo.ports import Ports
from demo.shop.mailbox import Mailbox
from demo.system import System

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
VIEWPORTS: dict[str, ViewportSize] = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
STATE_TIMEOUT_MS = 15_000  # the browser waits this long for a state


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, str]]:
    ports = Ports.free()
    with running(tmp_path_factory.mktemp("shop"), ports) as system:
        yield system, ports.url("shop")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=VIEWPORTS)
def page(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=VIEWPORTS[request.param], locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(STATE_TIMEOUT_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []


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


def test_card_purchase_shows_the_order_and_sends_an_email(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    email = f"card-{id(page)}@example.com"
    fill_bag(page, url, email)
    check_out(page)
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name=re.compile("^Pay")).click()
    page.wait_for_url(re.compile(r"/success"))
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "paid", timeout=STATE_TIMEOUT_MS)
    expect(page.get_by_test_id("order-number")).to_contain_text("CL-")
    assert isinstance(system.mailbox, Mailbox)
    mail = system.mailbox.wait_for(lambda mail: email in mail.to)
    page.goto(f"{url}/mail")
    expect(page.get_by_test_id("mails")).to_contain_text(mail.subject)
    assert_no_sideways_scrolling(page)


def test_bank_debit_is_pending_until_the_bank_pays(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    fill_bag(page, url, "sepa@example.com")
    check_out(page)
    session_id = page.url.rsplit("/", 1)[-1].split("?")[0]
    page.get_by_label(re.compile("pays later|succeeds", re.IGNORECASE)).check()
    page.get_by_role("button", name=re.compile("^Pay")).click()
    page.wait_for_url(re.compile(r"/success"))
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "payment_pending", timeout=STATE_TIMEOUT_MS)
    system.stripe.settle(session_id)
    expect(page.get_by_test_id("order")).to_have_attribute("data-status", "paid", timeout=STATE_TIMEOUT_MS)


def test_cancel_releases_the_stock_and_keeps_the_bag(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop

    def reserved() -> int:
        items = system.get("inventory", "/stock?limit=200").json()["items"]
        return sum(item["reserved"] for item in items)

    before = reserved()
    fill_bag(page, url, "cancel@example.com")
    check_out(page)
    assert reserved() == before + 1
    page.get_by_role("link", name=re.compile("back|cancel", re.IGNORECASE)).first.click()
    page.wait_for_url(re.compile(r"/cancel"))
    expect(page.get_by_test_id("cancel")).to_have_attribute("data-status", "freed", timeout=STATE_TIMEOUT_MS)
    assert reserved() == before
    page.goto(url)
    expect(page.get_by_test_id("bag-count")).to_contain_text("1")


def test_operator_refunds_and_ships(page: Page, shop: tuple[System, str]) -> None:
    system, url = shop
    play = Play(system, "operated")
    bought = play.buy({"SOC-MER-SLA-3640": 2})
    play.pay(bought)
    page.goto(f"{url}/operator#token={system.operator_token}")
    page.get_by_test_id("orders").get_by_text(play.fact(bought, "number")).click()
    page.get_by_label(re.compile("^Amount")).fill("14,90")
    page.get_by_role("button", name="Refund", exact=True).click()
    expect(page.get_by_test_id("states")).to_contain_text("refunded: partial")
    page.get_by_label("Tracking").fill("JD014600003")
    page.get_by_role("button", name="Ship all that is left").click()
    expect(page.get_by_test_id("states")).to_contain_text(re.compile(r"\bfulfilled"))
    assert_no_sideways_scrolling(page)
    page.goto(f"{url}/success.html?session_id={bought['session_id']}")
    expect(page.get_by_test_id("parcels")).to_contain_text("Shipped with DHL, JD014600003")
    expect(page.get_by_test_id("sums")).to_contain_text("-€14.90")
    assert_no_sideways_scrolling(page)


def test_shop_is_usable_by_keyboard_alone(page: Page, shop: tuple[System, str]) -> None:
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


def assert_no_sideways_scrolling(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
