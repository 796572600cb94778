"""Mails say what happened: from the act of a customer, an operator or Stripe to the text that a person reads."""

import time
from typing import Any

import pytest
from events.testing.waiting import wait_until
from notifications.template_loader import built_in_translations

from demo.scenarios.run import Checkout
from demo.shop.mailbox import Mail
from demo.system import System
from tests.e2e.shopper import CATALOG, SOCKS, TEE, TIMEOUT_S, Shopper, money

LOCALES = sorted(built_in_translations())
pytestmark = pytest.mark.usefixtures("many_shirts")
ONE_TEE = [{"sku": TEE, "quantity": 1}]


def mails(shopper: Shopper, kind: str, count: int) -> list[Mail]:
    """Return the mails of a kind, waiting until there are so many."""
    wait_until(lambda: len(shopper.mails(kind)) >= count, TIMEOUT_S, f"{count} mails {kind}")
    return shopper.mails(kind)


def flat(mail: Mail) -> str:
    return " ".join(mail.text.split())


def bought(shopper: Shopper, items: dict[str, int] | None = None) -> Checkout:
    checkout = shopper.start_checkout(items or {TEE: 2}, locale=shopper.locale)
    shopper.pay(checkout)
    return checkout


def act(shopper: Shopper, checkout: Checkout, action: str, **body: Any) -> None:
    answer = shopper.operate(checkout, action, **body)
    assert answer.is_success, answer.text


def fail_refund(shopper: Shopper, checkout: Checkout, amount: int) -> None:
    """Have the bank send the order's refund of this amount back to the shop."""
    [refund] = [each["id"] for each in shopper.order_field(checkout, "refunds") if each["amount"] == amount]
    shopper.system.stripe.advance_refund(refund, "failed")


def test_refunds_within_one_second_add_up(system: System) -> None:
    """The first one has our time in microseconds, the second one Stripe's, which is a whole second."""
    shopper = Shopper(system, "two refunds")
    checkout = bought(shopper)
    wait_until(lambda: 0.05 < time.time() % 1 < 0.3, TIMEOUT_S, "the begin of a second")
    act(shopper, checkout, "refunds", amount=500)
    system.stripe.refund(checkout["session_id"], amount=700)
    second = next(mail for mail in mails(shopper, "refund_succeeded", 2) if "€7.00" in mail.text)
    assert "Refunded so far: €12.00" in flat(second)


@pytest.mark.parametrize(
    ("locale", "rest", "left_out"),
    [
        ("en", "The rest of", "No longer part of your order"),
        ("de", "Der Rest", "Nicht mehr Teil Ihrer Bestellung"),
        ("fr", "Le reste", "Ne fait plus partie de votre commande"),
        ("ja", "残りの商品", "ご注文から除かれた商品"),
    ],
)
def test_only_parcel_after_a_refund_is_not_called_the_rest(
    system: System, locale: str, rest: str, left_out: str
) -> None:
    shopper = Shopper(system, f"only parcel {locale}", locale)
    checkout = bought(shopper, {TEE: 2, SOCKS: 1})
    act(shopper, checkout, "refunds", lines=ONE_TEE)
    act(shopper, checkout, "shipments", all=True)
    mail = shopper.mail("order_shipped")
    assert rest not in mail.subject
    before, after = flat(mail).split(left_out)
    assert CATALOG[SOCKS]["name"] in before
    assert CATALOG[TEE]["name"] in after
    assert CATALOG[SOCKS]["name"] not in after


def test_last_parcel_after_a_refund_does_not_say_complete(system: System) -> None:
    shopper = Shopper(system, "last parcel")
    checkout = bought(shopper, {TEE: 2, SOCKS: 1})
    act(shopper, checkout, "shipments", lines=ONE_TEE)
    act(shopper, checkout, "refunds", lines=[{"sku": TEE, "quantity": 1, "unshipped": 1}])
    act(shopper, checkout, "shipments", all=True)
    last = flat(mails(shopper, "order_shipped", 2)[-1])
    assert "the rest of your order" in last
    assert "This is the last parcel." in last
    assert "complete" not in last
    assert f"No longer part of your order: * 1 × {CATALOG[TEE]['name']}" in last  # noqa: RUF001


def pay_again(shopper: Shopper, times: int) -> Checkout:
    """Pay one order in so many recovered sessions."""
    checkout = shopper.start_checkout({TEE: 1}, locale=shopper.locale)
    shopper.system.stripe.expire(checkout["session_id"])
    shopper.check("It expires", "expired", lambda: shopper.status(checkout))
    for number in range(times):
        recovered = shopper.system.stripe.recover(checkout["session_id"])
        shopper.system.stripe.pay(recovered["id"], "card", shopper.email)
        paid = (number + 1) * checkout["amount_total"]
        shopper.check("It is paid", paid, lambda: shopper.order_field(checkout, "amount_paid"))
    return checkout


def test_each_duplicate_payment_has_its_mails(system: System) -> None:
    shopper = Shopper(system, "paid three times")
    checkout = pay_again(shopper, 2)
    assert "extra payment" in mails(shopper, "order_in_review", 1)[0].subject
    act(shopper, checkout, "review", decision="refund")
    refunded = flat(shopper.mail("refund_succeeded"))
    assert "This order had been paid more than once." in refunded
    recovered = system.stripe.recover(checkout["session_id"])
    system.stripe.pay(recovered["id"], "card", shopper.email)
    assert len(mails(shopper, "order_in_review", 2)) == 2
    shopper.check("Staff learn of both", 2, lambda: shopper.staff_emails(checkout).count("staff_review_opened"))


@pytest.mark.parametrize("locale", LOCALES)
def test_customer_learns_that_an_extra_payment_was_accepted(system: System, locale: str) -> None:
    shopper = Shopper(system, f"extra payment {locale}", locale)
    checkout = pay_again(shopper, 2)
    shopper.mail("order_in_review")
    act(shopper, checkout, "review", decision="accept")
    words = built_in_translations()[locale]["order_confirmed"]
    subject = words["subject_duplicate"].format(number=shopper.order_field(checkout, "number"))
    [accepted] = [mail for mail in mails(shopper, "order_confirmed", 2) if mail.subject == subject]  # in any order
    assert money(2 * checkout["amount_total"], locale) in flat(accepted)


@pytest.mark.parametrize("locale", LOCALES)
def test_customer_learns_that_an_announced_refund_failed(system: System, locale: str) -> None:
    shopper = Shopper(system, f"refund fails {locale}", locale)
    checkout = bought(shopper)
    act(shopper, checkout, "refunds", amount=700)
    act(shopper, checkout, "refunds", amount=1000)
    mails(shopper, "refund_succeeded", 2)
    fail_refund(shopper, checkout, 1000)
    failed = "".join(shopper.mail("refund_failed").text.split())  # Japanese lines break anywhere
    texts = built_in_translations()[locale]
    assert "".join(texts["refund_failed"]["note"].split()) in failed
    assert "".join(money(1000, locale).split()) in failed
    so_far = texts["common"]["labeled"].format(label=texts["common"]["refunded_so_far"], value=money(700, locale))
    assert "".join(so_far.split()) in failed
    staff = flat(shopper.mail("staff_refund_failed"))
    assert "another one now says that it failed" in staff


def test_unannounced_refund_fails_without_a_mail(system: System) -> None:
    shopper = Shopper(system, "silent refund")
    checkout = bought(shopper)
    system.stripe.queue_refund_status("pending")
    act(shopper, checkout, "refunds", amount=1000)
    fail_refund(shopper, checkout, 1000)
    shopper.mail("staff_refund_failed")
    path = f"/notifications?checkout_id={checkout['checkout_id']}&kind=refund_failed"
    rows = lambda: system.get("notifications", path, operator=True).json()["items"]  # noqa: E731 - a look
    shopper.check("It is not sent", ["suppressed"], lambda: [row["status"] for row in rows()])
    assert shopper.mails("refund_failed") == []
    assert all(result.ok for result in shopper.results), shopper.results


def test_won_dispute_of_a_canceled_order_asks_for_a_refund(system: System) -> None:
    shopper = Shopper(system, "canceled and disputed")
    checkout = bought(shopper)
    system.stripe.open_dispute(checkout["session_id"], reason="product_not_received")
    shopper.mail("staff_dispute_opened")
    act(shopper, checkout, "cancel", refund=False)
    system.stripe.advance_dispute(checkout["session_id"], "won")
    closed = flat(shopper.mail("staff_dispute_closed"))
    assert "What to do: Refund the customer: the order is canceled" in closed
    assert "Not withdrawn" not in closed


@pytest.mark.parametrize(
    ("status", "reinstated", "words"),
    [
        ("won", None, "in your favor. What to do: If something is still to be shipped, ship it now."),
        ("lost", 1000, "A part of the money came back to you, and the rest stays with the customer."),
    ],
)
def test_staff_read_what_came_back_after_a_dispute_closed(
    system: System, status: str, reinstated: int | None, words: str
) -> None:
    shopper = Shopper(system, f"{status} first")
    checkout = bought(shopper)
    system.stripe.open_dispute(checkout["session_id"])
    shopper.mail("staff_dispute_opened")
    system.stripe.advance_dispute(checkout["session_id"], status, reinstated, closed_first=True)
    held = money(checkout["amount_total"] - reinstated, "en") if reinstated else ""
    news = shopper.last_text(
        "staff_dispute_closed", f"Held by the bank: {held}" if held else "The bank holds none of it"
    )
    assert words in news
    assert "Nothing for now" not in "".join(mail.text for mail in shopper.mails("staff_dispute_updated"))
    assert "Answer by" not in news


def test_unknown_status_of_a_dispute_is_not_called_a_review(system: System) -> None:
    shopper = Shopper(system, "arbitration")
    checkout = bought(shopper)
    dispute = system.stripe.open_dispute(checkout["session_id"])
    shopper.mail("staff_dispute_opened")
    shopper.trigger("charge.dispute.updated", dispute["id"], status="arbitration_needs_response")
    text = shopper.last_text("staff_dispute_updated", "Status: arbitration_needs_response")
    assert "What to do: Look at the dispute in Stripe's dashboard." in text
    assert "Answer by: " in text


@pytest.mark.parametrize(("first", "locale"), [("pending", "en"), *(("succeeded", locale) for locale in LOCALES)])
def test_refund_that_a_dispute_stops_asks_to_pay_nothing(system: System, first: str, locale: str) -> None:
    """The bank takes the money already. Staff, and a customer who knows of the refund, read that the bank decides."""
    shopper = Shopper(system, f"disputed refund {first} {locale}", locale)
    checkout = bought(shopper)
    system.stripe.queue_refund_status(first)
    act(shopper, checkout, "refunds", amount=1000)
    if first == "succeeded":
        shopper.mail("refund_succeeded")
    system.stripe.open_dispute(checkout["session_id"])
    shopper.mail("staff_dispute_opened")
    [refund] = shopper.order_field(checkout, "refunds")
    system.stripe.advance_refund(refund["id"], "failed", "charge_for_pending_refund_disputed")
    staff = shopper.text("staff_refund_failed")
    assert "What to do: Pay nothing back: the bank decides." in staff
    assert "another way" not in staff
    assert f"Route for operators: GET /orders/{shopper.order_field(checkout, 'id')}" in staff
    if first == "succeeded":
        words = built_in_translations()[locale]["refund_failed"]
        text = "".join(shopper.mail("refund_failed").text.split())
        assert "".join(words["note_disputed"].split()) in text
        assert "".join(words["note"].split()) not in text
