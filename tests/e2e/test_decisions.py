"""Decisions about orders that shipped before, or have several reviews: what the customer and the staff read."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.contracts.reviews import ReviewReason
from orders.reviews import resolve_by_policy

from demo.system import System
from tests.e2e.shopper import CATALOG, SOCKS, TEE, Shopper

WILL_NOT_SHIP = {
    "en": "not ship it",
    "de": "sie wird nicht verschickt",
    "fr": "elle ne sera pas",
    "ja": "商品は発送されません",
}


def held_after_shipping(shopper: Shopper, *skus: str) -> dict[str, Any]:
    """Return an order of a T-shirt and socks. Some of it shipped, then the bank warned of fraud."""
    checkout = shopper.start_checkout({TEE: 1, SOCKS: 1}, locale=shopper.locale)
    shopper.pay(checkout)
    lines = [{"sku": sku, "quantity": 1} for sku in skus]
    assert shopper.operate(checkout, "shipments", lines=lines).status_code == 201
    shopper.system.stripe.warn(checkout["session_id"])
    shopper.check("It is held", True, lambda: shopper.order_field(checkout, "needs_review"))
    assert "Nothing more is shipped until you decide" in shopper.text("staff_review_opened")
    return checkout


def staff_rows(shopper: Shopper, checkout: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    """Return status and reason of the order's e-mails to staff of a kind."""
    path = f"/notifications?checkout_id={checkout['checkout_id']}"
    rows = shopper.system.get("notifications", path, operator=True).raise_for_status().json()["items"]
    return sorted((row["status"], str(row["error"])) for row in rows if row["kind"] == kind)


@pytest.mark.parametrize("locale", WILL_NOT_SHIP)
def test_cancellation_after_a_parcel_speaks_of_the_rest(system: System, locale: str) -> None:
    shopper = Shopper(system, f"rest {locale}", locale)
    checkout = held_after_shipping(shopper, TEE)
    assert shopper.operate(checkout, "review", decision="cancel").status_code == 200
    assert WILL_NOT_SHIP[locale] not in shopper.text("order_canceled")
    assert shopper.order_field(checkout, "pieces_owed") == 0


def test_customer_who_has_everything_reads_of_no_cancellation(system: System) -> None:
    shopper = Shopper(system, "everything")
    checkout = held_after_shipping(shopper, TEE, SOCKS)
    assert shopper.operate(checkout, "review", decision="cancel").status_code == 200
    decided = [("suppressed", "resolved by demo: no e-mail needed")]
    shopper.check("It is decided", decided, lambda: staff_rows(shopper, checkout, "staff_review_resolved"))
    assert shopper.mails("order_canceled") == []


def test_order_whose_rest_was_refunded_before_is_not_canceled(system: System) -> None:
    """One piece has shipped and the other was refunded: when the review is decided, nothing is left to ship."""
    shopper = Shopper(system, "rest refunded")
    checkout = shopper.start_checkout({TEE: 1, SOCKS: 1})
    shopper.pay(checkout)
    assert shopper.operate(checkout, "refunds", lines=[{"sku": SOCKS, "quantity": 1}]).is_success
    assert shopper.operate(checkout, "shipments", all=True).status_code == 201
    shopper.mail("refund_succeeded")
    shopper.system.stripe.warn(checkout["session_id"])
    shopper.check("It is held", True, lambda: shopper.order_field(checkout, "needs_review"))
    assert shopper.operate(checkout, "review", decision="cancel").status_code == 200
    decided = [("suppressed", "resolved by demo: no e-mail needed")]
    shopper.check("It is decided", decided, lambda: staff_rows(shopper, checkout, "staff_review_resolved"))
    assert shopper.results[-1].ok, shopper.results[-1]
    assert shopper.mails("order_canceled") == []
    page = system.get("orders", f"/orders/by-session/{checkout['session_id']}").json()
    assert (page["fulfillment_status"], page["review_decision"]) == ("fulfilled", None)


def test_cancellation_during_a_refund_sends_its_mail(system: System) -> None:
    """The refund of everything is under way and can still fail, so the customer learns that nothing ships."""
    shopper = Shopper(system, "refund under way")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    shopper.mail("order_confirmed")
    system.stripe.warn(checkout["session_id"])
    shopper.check("It is held", True, lambda: shopper.order_field(checkout, "needs_review"))
    system.stripe.queue_refund_status("pending")
    assert shopper.operate(checkout, "refunds", all=True).is_success
    assert shopper.operate(checkout, "review", decision="cancel").status_code == 200
    assert shopper.mail("order_canceled")
    page = system.get("orders", f"/orders/by-session/{checkout['session_id']}").json()
    assert page["review_decision"] == "cancel"


def test_one_decision_ends_the_requests_of_all_reviews(system: System) -> None:
    shopper = Shopper(system, "both")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    system.stripe.open_review(checkout["session_id"])
    system.stripe.warn(checkout["session_id"])
    shopper.check("Both are open", 2, lambda: len(shopper.order_field(checkout, "reviews")))
    assert shopper.operate(checkout, "review", decision="accept").status_code == 200
    ended = [
        ("suppressed", "resolved by demo: no e-mail needed"),
        ("suppressed", "resolved together with radar-review"),
    ]
    shopper.check("Both ended", ended, lambda: staff_rows(shopper, checkout, "staff_review_resolved"))
    assert shopper.results[-1].ok, shopper.results[-1]


def test_policy_about_a_duplicate_says_that_only_it_goes_back(system: System, folder: Path) -> None:
    shopper = Shopper(system, "twice")
    checkout = shopper.start_checkout({TEE: 1})
    system.stripe.expire(checkout["session_id"])
    shopper.check("It expires", "expired", lambda: shopper.status(checkout))
    for _ in range(2):
        system.stripe.pay(system.stripe.recover(checkout["session_id"])["id"], "card", shopper.email)
    shopper.check("It is held", "duplicate-payment", lambda: shopper.order_field(checkout, "review_reason"))
    database = Database(f"sqlite:///{folder / 'orders'}.db")
    resolve_by_policy(database, [ReviewReason.DUPLICATE_PAYMENT])
    database.dispose()
    read = shopper.text("staff_review_resolved")
    assert "refunds the duplicate payment" in read
    assert "everything that the customer paid" not in read
    shopper.check("One payment went back", "partial", lambda: shopper.order_field(checkout, "refund_status"))
    assert shopper.order_field(checkout, "pieces_owed") == 1
    assert CATALOG[TEE]["name"] in shopper.text("order_confirmed")


def test_customer_learns_a_refund_before_the_money_moves(system: System) -> None:
    """Both refunds wait for the customer. One is of a suspected fraud, the other one of a second payment."""
    fraud, twice = Shopper(system, "suspected"), Shopper(system, "paid again")
    held = fraud.start_checkout({TEE: 1})
    fraud.pay(held)
    fraud.mail("order_confirmed")
    system.stripe.warn(held["session_id"])
    paid = twice.start_checkout({TEE: 1})
    system.stripe.expire(paid["session_id"])
    for _ in range(2):
        system.stripe.pay(system.stripe.recover(paid["session_id"])["id"], "card", twice.email)
    for shopper, checkout in ((fraud, held), (twice, paid)):
        shopper.check("It is held", True, partial(shopper.order_field, checkout, "needs_review"))
        system.stripe.queue_refund_status("requires_action")
        assert shopper.operate(checkout, "review", decision="refund").status_code == 200
    assert "had to cancel it, so we will not ship it" in fraud.text("order_canceled")
    assert "decided to send it back to you. Your order does not change" in twice.text("order_canceled")
    assert [len(shopper.mails("refund_succeeded")) for shopper in (fraud, twice)] == [0, 0]
    [refund] = fraud.order_field(held, "refunds")
    system.stripe.advance_refund(refund["id"], "succeeded")
    fraud.mail("refund_succeeded")
    assert len(fraud.mails("order_canceled")) == 1


def test_refund_that_succeeds_at_once_is_one_mail(system: System) -> None:
    shopper = Shopper(system, "refunded at once")
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    system.stripe.warn(checkout["session_id"])
    shopper.check("It is held", True, lambda: shopper.order_field(checkout, "needs_review"))
    assert shopper.operate(checkout, "review", decision="refund").status_code == 200
    shopper.mail("refund_succeeded")
    path = f"/notifications?checkout_id={checkout['checkout_id']}&kind=order_canceled"
    rows = lambda: system.get("notifications", path, operator=True).json()["items"]  # noqa: E731 - a look
    shopper.check(
        "One is sent",
        [("suppressed", "replaced by refund_succeeded")],
        lambda: [(row["status"], row["error"]) for row in rows()],
    )
    assert shopper.results[-1].ok, shopper.results[-1]
