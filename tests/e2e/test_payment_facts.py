"""Odd payments: from the fake Stripe to pages, e-mails, operators' answers and stock."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from events.testing import http
from events.testing.waiting import wait_until

from demo import embedded
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.scenarios.run import Checkout
from demo.system import System
from tests.e2e.shopper import SOCKS, TEE, TIMEOUT_S, Shopper, money

CONNECTED = "acct_1Connected"
FAILED, INSTRUCTIONS = "payment_intent.payment_failed", "payment_intent.requires_action"
FREE = "no_payment_required"  # also of a free session that expires
NEVER_S = 86400.0  # no debit or voucher ends by itself, also on a busy machine
JEANS = "JNS-STR-IND-36"  # only in tests that compare the stock
COMPLETED, SUCCEEDED = "checkout.session.completed", "checkout.session.async_payment_succeeded"


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "FakeStripe", partial(FakeStripe, sepa_delay=NEVER_S))
        with embedded.embedded_system(folder, Ports.find_free()) as running:
            yield running


class Case(Shopper):
    """A customer, what Stripe sends about them, and what operators read."""

    def becomes(self, checkout: Checkout, field: str, value: Any) -> None:
        """Wait until the order has this value."""
        wait_until(lambda: self.order_field(checkout, field) == value, TIMEOUT_S, f"{field}: {value}")

    def recovered(self, checkout: Checkout) -> str:
        """Follow the expired cart's recovery link, and return the new session's id."""
        return str(self.stripe.recover(checkout["session_id"])["id"])

    def expired_cart(self) -> Checkout:
        checkout = self.start_checkout({TEE: 1})
        self.stripe.expire(checkout["session_id"])
        wait_until(lambda: self.status(checkout) == "expired", TIMEOUT_S, "the cart expires")
        return checkout

    def statuses(self, checkout: Checkout, *session_ids: str) -> set[Any]:
        """Return the statuses that the success pages of these sessions show, and that operators read."""
        pages = [self.system.get("orders", f"/orders/by-session/{session_id}").json() for session_id in session_ids]
        return {page.get("status") for page in pages} | {self.order_field(checkout, "status")}

    def resend(self, event_id: str) -> None:
        path = f"{self.stripe.url}/_control/resend"
        http.post(path, json={"event_id": event_id}, timeout=30).raise_for_status()

    def recorded(self, service: str, event_id: str) -> tuple[str, str]:
        """Wait until a service has stored the event, and return its status and reason in the inbox."""
        path = f"/ops/inbox/{event_id}"

        def found() -> dict[str, Any]:
            answer = self.system.get(service, path, operator=True)
            return answer.json() if answer.is_success else {}

        wait_until(lambda: found().get("status") in ("done", "ignored"), TIMEOUT_S, f"{service} {event_id}")
        return found()["status"], str(found()["error"])

    def attempts(self, checkout: Checkout) -> tuple[int, int]:
        """Return the number of failed attempts of the order, and of their entries in its timeline."""
        order = self.order(checkout)
        entries = [entry for entry in order["timeline"] if entry["text"].startswith("Payment attempt failed")]
        return len(order["attempts"]), len(entries)


def test_attempt_under_way_outranks_a_failed_one(system: System) -> None:
    """Two sessions of one recovered cart are paid by debit. The first debit fails while the second is under way."""
    case = Case(system, "overlapping")
    cart = case.expired_cart()
    first, second = case.recovered(cart), case.recovered(cart)
    case.stripe.pay(first, "sepa_fail", case.email)
    case.stripe.pay(second, "sepa_success", case.email)
    wait_until(lambda: len(case.order_field(cart, "payments")) == 2, TIMEOUT_S, "both attempts")
    wait_until(lambda: case.statuses(cart, first, second) == {"payment_pending"}, TIMEOUT_S, "both sessions")
    assert case.stripe.settle(first)
    wait_until(lambda: case.attempts(cart) == (1, 1), TIMEOUT_S, "the failed attempt")
    [event] = [each for each in case.stripe.events("*.async_payment_failed") if each["data"]["object"]["id"] == first]
    assert case.recorded("orders", event["id"])[0] == "done"
    assert case.statuses(cart, cart["session_id"], first, second) == {"payment_pending"}
    assert case.operate(cart, "shipments", all=True).status_code == 409
    assert case.stripe.settle(second)
    case.mail("order_confirmed")
    assert case.statuses(cart, cart["session_id"], first, second) == {"paid"}
    assert "payment_failed" not in case.emails_about(cart)


def test_new_attempt_after_a_failed_one_is_announced(system: System) -> None:
    case = Case(system, "again")
    cart = case.expired_cart()
    first = case.recovered(cart)
    case.stripe.pay(first, "sepa_fail", case.email)
    assert case.stripe.settle(first)
    case.mail("payment_failed")
    assert case.statuses(cart, first) == {"payment_failed"}
    announced = len(case.mails("payment_pending"))
    second = case.recovered(cart)
    case.stripe.pay(second, "sepa_success", case.email)
    wait_until(lambda: len(case.mails("payment_pending")) == announced + 1, TIMEOUT_S, "the second announcement")
    assert case.statuses(cart, cart["session_id"], first, second) == {"payment_pending"}
    assert case.stripe.settle(second)
    case.mail("order_confirmed")
    assert len(case.mails("payment_failed")) == 1


def test_money_of_a_connected_account_changes_nothing(system: System) -> None:
    """A connected account has every kind of money movement with the metadata of an open cart of ours."""
    case, other = Case(system, "connected"), Case(system, "its source")
    cart, paid = case.start_checkout({TEE: 1}), other.start_checkout({TEE: 1})
    other.pay(paid)
    case.check("Its order is open", "open", lambda: case.status(cart))
    about = {"metadata": {"checkout_id": cart["checkout_id"]}}
    session, refund = case.stripe.session(paid["session_id"]), case.stripe.refund(paid["session_id"], amount=500)
    dispute = case.stripe.open_dispute(paid["session_id"])
    kind = "multibanco_display_details"
    voucher = {"next_action": {"type": kind, kind: {"hosted_voucher_url": "https://x.test/voucher"}}}
    of_intent, of_charge = {"id": "pi_theirs", **about}, {"id": "ch_theirs", "payment_intent": "pi_theirs", **about}
    before, charge, intent = case.order(cart), refund["charge"], session["payment_intent"]
    sent = {
        "orders": [
            case.trigger("payment_intent.succeeded", intent, CONNECTED, **of_intent),
            case.trigger(INSTRUCTIONS, intent, CONNECTED, **of_intent | voucher),
            case.trigger(FAILED, intent, CONNECTED, **of_intent, last_payment_error={"code": "declined"}),
            *[
                case.trigger(f"charge.{name}", charge, CONNECTED, **of_charge)
                for name in ("pending", "succeeded", "failed", "refunded")
            ],
            case.trigger("refund.created", refund["id"], CONNECTED, **of_charge | {"id": "re_theirs"}),
            case.trigger("charge.dispute.created", dispute["id"], CONNECTED, **of_charge | {"id": "dp_theirs"}),
        ],
        "all": [
            case.trigger(f"checkout.session.{name}", cart["session_id"], CONNECTED, payment_intent="pi_theirs")
            for name in ("completed", "async_payment_failed", "expired")
        ]
        + [case.trigger("checkout.session.expired", cart["session_id"], CONNECTED, payment_status=FREE)],
    }
    recorded = [
        case.recorded(service, event_id)
        for receivers, event_ids in sent.items()
        for event_id in event_ids
        for service in (["orders", "checkout", "inventory"] if receivers == "all" else [receivers])
    ]
    assert {status for status, _ in recorded} == {"ignored"}
    reasons = {reason for _, reason in recorded}
    assert reasons == {
        f"an event of the connected account {CONNECTED}, which is not the shop's",
        "no order has the payment pi_theirs yet: the event is stored until one has",
    }
    assert case.order(cart) == before
    case.pay(cart)
    case.mail("order_confirmed")
    assert case.customer_emails() == ["order_confirmed"]
    order = case.order(cart)
    assert (order["amount_paid"], order["refund_status"], order["dispute_status"]) == (
        order["amount_total"],
        "none",
        "none",
    )


def test_session_of_a_connected_account_is_reviewed(system: System) -> None:
    """A paid session ends the checkout, whichever account has its money. The account's refund of it is booked, too."""
    case, other = Case(system, "reviewed"), Case(system, "their refund")
    cart, paid = case.start_checkout({TEE: 1}), other.start_checkout({TEE: 1})
    other.pay(paid)
    refund = case.stripe.refund(paid["session_id"])
    changes = {"status": "complete", "payment_status": "paid", "payment_intent": "pi_connected"}
    case.trigger(COMPLETED, cart["session_id"], CONNECTED, **changes)
    case.becomes(cart, "review_reason", "account-mismatch")
    assert CONNECTED in case.order_field(cart, "review_detail")
    assert CONNECTED in case.text("staff_review_opened")
    case.mail("order_in_review")
    assert case.operate(cart, "shipments", all=True).status_code == 409
    theirs = {"id": "re_connected", "payment_intent": "pi_connected", "amount": cart["amount_total"]}
    case.trigger("refund.created", refund["id"], CONNECTED, **theirs, metadata={})
    case.becomes(cart, "refund_status", "full")
    assert "order_confirmed" not in case.emails_about(cart)


def test_sums_of_two_currencies_stay_apart_when_accepted(system: System) -> None:
    """A recovered cart is paid twice: in yen, which is a mismatch, and in euros."""
    case = Case(system, "yen")
    cart = case.expired_cart()
    yen, euros = case.recovered(cart), case.recovered(cart)
    case.stripe.pay(yen, "card", case.email, currency="jpy")
    case.becomes(cart, "review_reason", "currency-mismatch")
    total = cart["amount_total"]
    in_yen = {"currency": "jpy", "amount_paid": total, "amount_refunded": 0}
    assert (case.order_field(cart, "sums"), case.order_field(cart, "amount_paid")) == ([in_yen], 0)
    assert case.operate(cart, "review", decision="accept").status_code == 200
    assert money(total, "en", "jpy") in case.text("order_confirmed")
    assert "€" not in case.text("order_confirmed")
    page = case.success_page({**cart, "session_id": yen})
    assert (page["currency"], page["amount_total"], page["status"]) == ("jpy", total, "paid")
    case.stripe.pay(euros, "card", case.email)
    case.becomes(cart, "review_reason", "duplicate-payment")
    case.stripe.refund(yen, amount=1000)
    in_euros = {"currency": "eur", "amount_paid": total, "amount_refunded": 0}
    case.becomes(cart, "sums", [in_euros, in_yen | {"amount_refunded": 1000}])
    assert (case.order_field(cart, "amount_paid"), case.order_field(cart, "amount_refunded")) == (total, 0)
    read = case.text("refund_succeeded")
    assert money(1000, "en", "jpy") in read
    assert "€" not in read


def test_refund_in_euros_is_not_all_of_a_payment_in_yen(system: System) -> None:
    """The payment in yen is accepted, and the one in euros sent back. E-mails say that money is left."""
    case = Case(system, "yen kept")
    cart = case.expired_cart()
    yen, euros = case.recovered(cart), case.recovered(cart)
    case.stripe.pay(yen, "card", case.email, currency="jpy")
    case.becomes(cart, "review_reason", "currency-mismatch")
    assert case.operate(cart, "review", decision="accept").status_code == 200
    case.stripe.pay(euros, "card", case.email)
    case.becomes(cart, "review_reason", "duplicate-payment")
    assert case.operate(cart, "review", decision="refund").status_code == 200
    assert "everything" not in case.text("refund_succeeded")
    assert case.operate(cart, "cancel", refund=False).status_code == 200
    read = case.text("order_canceled")
    assert "everything" not in read
    assert "€" not in read
    case.stripe.open_dispute(yen)
    case.becomes(cart, "dispute_status", "open")
    case.stripe.advance_dispute(yen, "won")
    assert "Refund the customer" in case.text("staff_dispute_closed")


def test_canceled_order_with_two_lost_disputes_owes_nothing(system: System) -> None:
    """Both payments of the order are disputed. Staff are not asked to refund what the banks hold."""
    case = Case(system, "disputed twice")
    cart = case.expired_cart()
    sessions = [case.recovered(cart), case.recovered(cart)]
    for session_id in sessions:
        case.stripe.pay(session_id, "card", case.email)
        case.mail("order_confirmed")
    case.becomes(cart, "review_reason", "duplicate-payment")
    assert case.operate(cart, "review", decision="accept").status_code == 200
    assert case.operate(cart, "cancel", refund=False).status_code == 200
    for session_id in sessions:
        case.stripe.open_dispute(session_id)
    wait_until(lambda: len(case.order_field(cart, "disputes")) == 2, TIMEOUT_S, "both disputes")
    for session_id in sessions:
        case.stripe.advance_dispute(session_id, "lost")
    wait_until(lambda: len(case.mails("staff_dispute_closed")) == 2, TIMEOUT_S, "both results")
    read = " ".join(mail.text for mail in case.mails("staff_dispute_closed"))
    assert "Refund the customer" not in read
    assert read.count("Do not refund this amount as well") == 2


def test_accepted_payment_in_another_currency_has_no_sum(system: System) -> None:
    case = Case(system, "yen twice")
    cart = case.expired_cart()
    euros, yen = case.recovered(cart), case.recovered(cart)
    case.stripe.pay(euros, "card", case.email)
    case.mail("order_confirmed")
    case.stripe.pay(yen, "card", case.email, currency="jpy")
    case.becomes(cart, "review_reason", "duplicate-payment")
    assert case.operate(cart, "review", decision="accept").status_code == 200
    read = case.last_text("order_confirmed", "accepted your extra payment")
    assert "In all" not in read
    assert "You paid" not in read


def test_instructions_after_the_pending_payment_are_shown(system: System) -> None:
    case = Case(system, "late voucher")
    checkout = case.start_checkout({SOCKS: 1})
    case.stripe.add_fault("drop", type=INSTRUCTIONS, acknowledged=True)
    case.stripe.pay(checkout["session_id"], "voucher", case.email)
    session = case.stripe.session(checkout["session_id"])
    assert case.page(session, "payment_pending")["voucher_expires_at"] is None
    case.mail("payment_pending")
    case.resend(case.stripe.events(INSTRUCTIONS)[-1]["id"])
    assert f"/voucher/{session['payment_intent']}" in case.mail("payment_instructions").text
    page = case.page(session, "payment_pending")
    assert page["payment_method"] == "multibanco"
    assert page["voucher_expires_at"]
    case.stripe.settle(session["id"])


def test_pending_refund_that_needs_an_action_shows_it(system: System) -> None:
    """Also within one second: Stripe's times are whole seconds."""
    case = Case(system, "bank details")
    checkout = case.start_checkout({SOCKS: 1})
    case.stripe.pay(checkout["session_id"], "sepa_success", case.email)
    case.stripe.settle(checkout["session_id"])
    case.mail("order_confirmed")
    refund = case.stripe.refund(checkout["session_id"])["id"]
    case.stripe.advance_refund(refund, "requires_action")
    wait_until(
        lambda: [one["status"] for one in case.order_field(checkout, "refunds")] == ["requires_action"],
        TIMEOUT_S,
        "the refund's status",
    )
    assert "waits for the customer" in case.order_field(checkout, "timeline")[-1]["text"]
    assert case.success_page(checkout)["amount_refunded"] == 0
    assert case.mails("refund_succeeded") == []
    case.stripe.advance_refund(refund, "succeeded")
    case.mail("refund_succeeded")


def test_twin_events_of_an_expired_voucher_count_once(system: System) -> None:
    """An attempt without a charge has no id of its own. Stripe can report it in two Events, and send each twice."""
    case = Case(system, "twins")
    checkout = case.start_checkout({SOCKS: 1})
    case.stripe.pay(checkout["session_id"], "voucher_expires", case.email)
    case.stripe.add_fault("second_event", type=FAILED)
    assert case.stripe.settle(checkout["session_id"])
    intent = case.stripe.session(checkout["session_id"])["payment_intent"]
    twins = [event["id"] for event in case.stripe.events(FAILED) if event["data"]["object"]["id"] == intent]
    assert len(twins) == 2
    case.resend(twins[0])
    assert [case.recorded("orders", event_id)[0] for event_id in twins] == ["done", "done"]
    assert case.attempts(checkout) == (1, 1)
    case.mail("payment_failed")
    assert len(case.mails("payment_failed")) == 1


@pytest.mark.parametrize("type_", [COMPLETED, SUCCEEDED])
def test_unknown_payment_status_ships_and_sells_nothing(system: System, type_: str) -> None:
    case = Case(system, "unknown status")
    checkout, before = case.start_checkout({JEANS: 1}), case.stock(JEANS)
    event_id = case.trigger(type_, checkout["session_id"], status="complete", payment_status="paid_in_part")
    assert {case.recorded(service, event_id)[0] for service in ("orders", "inventory", "checkout")} == {"done"}
    page = case.success_page(checkout)
    assert (page["status"], page["confirmed"], page["amount_paid"]) == ("payment_pending", False, 0)
    assert case.operate(checkout, "shipments", all=True).status_code == 409
    assert case.stock(JEANS) == before, "the pieces are still reserved, and none is sold"
    case.mail("payment_pending")
    assert "order_confirmed" not in case.emails_about(checkout)
