"""Sums that Stripe charged replace the agreed ones in every answer, page, e-mail and metric about two purchases.

Stripe adds a tax to both. One has a promotion code of Stripe's page, the other one a discount of the shop. So what the
checkout agreed differs from what Stripe charged, in the total or also in the line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from events.testing.waiting import wait_until
from notifications.template_loader import built_in_translations, placeholders

from demo.embedded import embedded_system
from demo.ports import Ports
from demo.scenarios.run import Checkout
from demo.system import SERVICES, System
from tests.e2e.shopper import ROOT, SOCKS, TEE, TIMEOUT_S, Shopper, at_stripe, money
from tests.e2e.sources import SOURCES, STATEMENTS

TEMPLATES = ROOT / "services" / "notifications" / "notifications" / "templates"
LOCALES = sorted(built_in_translations())

# The fields with an agreed sum beside a charged one, and why. The entries of a timeline have their kind in brackets.
AGREED_FIELDS = {
    "GET /checkout/sessions: amount_total": "documented as agreed: only Stripe and orders know what was charged",
    "GET /checkouts: items.amount_total": "the same in the operators' list",
    "GET /checkouts: items.lines.amount_total": "the same for a line",
    "GET /orders: items.amount_total": "documented as agreed, beside `charged`",
    "GET /orders/{id}: amount_total": "the same for one order",
    "GET /orders/{id}: lines.amount_total": "documented as agreed; Stripe says only in refunds what a line cost",
    "GET /orders/{id}: timeline[started].text": "says with which total the checkout was started",
}
CUSTOMERS_MAILS = ("order_confirmed", "order_shipped", "refund_succeeded", "refund_failed", "order_canceled")
STAFFS_MAILS = ("staff_order_paid", "staff_refund_failed", "staff_dispute_opened", "staff_review_opened")


class Purchase(NamedTuple):
    """A purchase with its agreed sums, and the answers to what operators did with it."""

    shopper: Shopper
    checkout: Checkout
    agreed: set[int]
    answers: list[Any]


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """An embedded system whose staff gets an e-mail for each order."""
    with embedded_system(folder, Ports.find_free(), notifications={"staff_new_order": True}) as running:
        yield running


@pytest.fixture(scope="module")
def purchases(system: System) -> list[Purchase]:
    """Two purchases with a parcel, a refund that fails, a dispute and a review that cancels the rest."""
    code, discount = Shopper(system, "code everywhere"), Shopper(system, "discount everywhere")
    session = code.buy(tax="added", code=True)
    with discount.taxed(TEE, "19", inclusive=False):
        discounted = discount.start_checkout({TEE: 2}, discount_code="WELCOME10")
    system.stripe.pay(discounted["session_id"], "card", discount.email)
    assert (session["amount_total"], system.stripe.session(discounted["session_id"])["amount_total"]) == (4296, 4772)
    coded = {"checkout_id": session["client_reference_id"], "session_id": session["id"]}
    made = [Purchase(code, coded, {4488}, []), Purchase(discount, discounted, {3598, 4088}, [])]
    for purchase in made:
        live_on(purchase)
    return made


def live_on(purchase: Purchase) -> None:
    shopper, checkout, _, answers = purchase
    stripe = shopper.system.stripe

    def act(action: str, **body: Any) -> None:
        answer = shopper.operate(checkout, action, **body)
        assert answer.is_success, answer.text
        answers.append(answer.json())

    shopper.mail("order_confirmed")
    act("shipments", lines=[{"sku": TEE, "quantity": 1}])
    act("refunds", amount=1000)
    shopper.mail("refund_succeeded")
    [refund] = shopper.order_field(checkout, "refunds")
    stripe.advance_refund(refund["id"], "failed")
    shopper.mail("refund_failed")
    stripe.warn(checkout["session_id"])
    shopper.mail("staff_review_opened")
    act("review", decision="cancel")
    stripe.open_dispute(checkout["session_id"])
    for kind in (*CUSTOMERS_MAILS, *STAFFS_MAILS):
        shopper.mail(kind)


def read_answers(purchase: Purchase) -> Iterator[tuple[str, Any]]:
    """Yield (route, JSON) of every answer about a purchase, to customers and operators."""
    system, checkout = purchase.shopper.system, purchase.checkout
    order_id, number = (purchase.shopper.order_field(checkout, name) for name in ("id", "number"))
    query = f"?checkout_id={checkout['checkout_id']}"
    for service, route, rest in (
        ("checkout", "/checkout/sessions", f"/{checkout['checkout_id']}"),
        ("checkout", "/checkouts", "?status=complete"),
        ("orders", "/orders/by-session", f"/{checkout['session_id']}"),
        ("orders", "/orders", query),
        ("orders", "/disputes", ""),
        ("notifications", "/notifications", query),
        ("inventory", f"/stock/{TEE}/movements", ""),
        ("inventory", "/reservations", ""),
        *((service, "/ops/inbox", "?limit=200") for service in SERVICES if service != "webhooks"),
    ):
        yield f"GET {route}", system.get(service, route + rest, operator=True).raise_for_status().json()
    for name in (order_id, number):
        yield "GET /orders/{id}", system.get("orders", f"/orders/{name}", operator=True).raise_for_status().json()
    for answer in purchase.answers:
        yield (
            "GET /orders/{id}" if "timeline" in answer else "POST /orders/{id}/…",
            answer,
        )  # a review answers the order


def fields_with(sums: set[int], answer: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of the fields of an answer that have one of these sums, as a number or in a text."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            kind = f"[{answer['kind']}]" if path == "timeline" else ""
            yield from fields_with(sums, value, f"{path}{kind}.{name}".lstrip("."))
    elif isinstance(answer, list):
        for item in answer:
            yield from fields_with(sums, item, path)
    elif answer in sums or (isinstance(answer, str) and says(sums, answer)):
        yield path


def says(sums: set[int], text: str) -> bool:
    """Return True if a text has one of these sums of euros, in any language."""
    return any(re.search(rf"(?<!\d){minor // 100}[.,]{minor % 100:02}(?!\d)", text) for minor in sums)


def test_answers_have_agreed_sums_in_fields_of_that_name_only(purchases: list[Purchase]) -> None:
    found = {
        f"{route}: {path}"
        for purchase in purchases
        for route, answer in read_answers(purchase)
        for path in fields_with(purchase.agreed, answer)
    }
    assert found == set(AGREED_FIELDS)


@pytest.mark.parametrize("kind", [*CUSTOMERS_MAILS, *STAFFS_MAILS])
def test_no_mail_has_an_agreed_sum(purchases: list[Purchase], kind: str) -> None:
    for purchase in purchases:
        mail = purchase.shopper.mail(kind)
        for text in (mail.subject, mail.text, mail.html):
            assert text
            assert not says(purchase.agreed, text)


def test_no_metric_has_an_agreed_sum(system: System, purchases: list[Purchase]) -> None:
    sums = {minor for purchase in purchases for minor in purchase.agreed}
    for service in SERVICES:
        samples = [line for line in system.get(service, "/metrics").text.splitlines() if line.startswith("clozit_")]
        assert samples
        assert not [sample for sample in samples if float(sample.rpartition(" ")[2]) in sums]


def test_every_sum_of_every_template_has_its_source_at_stripe() -> None:
    used: set[str] = set()
    for template in TEMPLATES.iterdir():
        source = template.read_text("utf-8")
        used |= set(re.findall(r"\bamounts\.(\w+)", source)) | set(re.findall(r"\bmoney\(([^)]*)\)", source))
        assert not re.findall(r"amount_\w|\w_amount", re.sub(r"\bmoney\([^)]*\)", "", source)), template
    plain = {"number", "sku", "available", "threshold", "resolved_by", "shop", "name", "label", "value", "due"}
    plain |= {"checkout_id", "until"}
    plain |= {"quantity", "price", "day", "time", "count"}  # the price of a line is written by `money`
    for texts in built_in_translations().values():
        used |= {name for section in texts.values() for text in section.values() for name in placeholders(text)} - plain
    details = (TEMPLATES.parent / "staff_details.py").read_text("utf-8")
    used |= set(re.findall(r"\bvalues(?:\[|\.get\()\"(\w+)", details)) - plain
    assert used == set(SOURCES)
    writers = {file.name for file in TEMPLATES.parent.glob("*.py") if re.search(r"\.money\b", file.read_text("utf-8"))}
    assert writers == {"amounts.py", "template_context.py"}, "no other module writes sums into e-mails"


def test_every_sum_comes_from_stripe_to_an_email(system: System) -> None:
    """One product's tax is added, the other one's is part of the price. The bank returns a part of a lost dispute."""
    shopper = Shopper(system, "all sums")
    with shopper.taxed(TEE, "19", inclusive=False), shopper.taxed(SOCKS, "7", inclusive=True):
        checkout = shopper.start_checkout({TEE: 2, SOCKS: 1})
    typed: dict[str, Any] = {
        "promotion_code": shopper.promotion_code(),
        "presentment_currency": "jpy",
        "presentment_amount": "9321",
    }
    system.stripe.pay(checkout["session_id"], "card", shopper.email, **typed)
    shopper.mail("order_confirmed")
    for count, amount in enumerate((1000, 700), 1):
        system.stripe.refund(checkout["session_id"], amount=amount)
        wait_until(lambda count=count: len(shopper.mails("refund_succeeded")) == count, TIMEOUT_S, "the refund")  # type: ignore[misc]
    system.stripe.open_dispute(checkout["session_id"], amount=2500)
    shopper.mail("staff_dispute_opened")
    system.stripe.advance_dispute(checkout["session_id"], "lost", 900)
    stripe = at_stripe(system, system.stripe.session(checkout["session_id"]))
    for name, source in SOURCES.items():
        shown = money(source.at_stripe(stripe), "en", "jpy" if name in STATEMENTS else "eur")
        assert shown in shopper.text(source.kind), name


@pytest.mark.parametrize("locale", LOCALES)
def test_pending_and_failed_mails_show_the_tax_and_the_total(system: System, locale: str) -> None:
    shopper = Shopper(system, f"debit {locale}", locale)
    session = shopper.buy(tax="added", method="sepa_fail")
    tax, total = session["total_details"]["amount_tax"], session["amount_total"]
    assert (tax, total) == (760, 5248)
    pending = shopper.mail("payment_pending")
    page = shopper.page(session, "payment_pending")
    assert system.stripe.settle(session["id"])
    failed = shopper.mail("payment_failed")
    texts = built_in_translations()[locale]["common"]
    for mail in (pending, failed):
        for label, amount in (("tax", tax), ("total", total)):
            row = texts["labeled"].format(label=texts[label], value=money(amount, locale))
            assert " ".join(row.split()) in " ".join(mail.text.split())
            assert money(amount, locale) in " ".join(mail.html.split())
        assert not says({4488}, mail.text + mail.html)
    failed_page = shopper.page(session, "payment_failed")
    assert [(each["amount_tax"], each["amount_total"]) for each in (page, failed_page)] == [(tax, total)] * 2
