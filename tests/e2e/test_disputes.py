"""Disputes and fraud warnings: from the fake Stripe to the operators' answers and the staff's e-mails."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pytest
import stripe
from events.testing.waiting import wait_until
from notifications.template_loader import built_in_translations
from orders.models.disputes import DisputeStatus

from demo.scenarios.run import ScenarioRun
from demo.system import System

STAFF_TIMEOUT_S = 30.0
BODIES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {  # of acts with a refund, and without one
    "cancel": ({"refund": True}, {"refund": False}),
    "review": ({"decision": "refund"}, {"decision": "cancel"}),
}


class Case(ScenarioRun):
    """A paid order with its staff, who read their e-mails."""

    def buy(self) -> dict[str, Any]:
        checkout = self.start_checkout({"TEE-ORG-WHT-M": 1})
        self.pay(checkout)
        return checkout

    def staff_reads(self, checkout: dict[str, Any], subject: str) -> str:
        """Wait for an e-mail to staff about the order with these words in its subject, and return its text."""
        number = self.order_field(checkout, "number")

        def found() -> list[str]:
            mails = self.system.mailbox.messages
            return [mail.text for mail in mails if subject in mail.subject and number in mail.subject]

        wait_until(lambda: bool(found()), within=STAFF_TIMEOUT_S)
        return " ".join(found()[-1].split())

    def becomes(self, checkout: dict[str, Any], field: str, value: Any) -> None:
        """Wait until the order has this value."""
        wait_until(lambda: self.order_field(checkout, field) == value, within=STAFF_TIMEOUT_S)


def test_staff_read_what_came_back_and_the_end_of_an_appeal(system: System) -> None:
    case = Case(system, "appeal")
    checkout = case.buy()
    system.stripe.refund(checkout["session_id"], amount=500)
    case.becomes(checkout, "amount_refunded", 500)
    system.stripe.open_dispute(checkout["session_id"])
    case.becomes(checkout, "dispute_status", "open")
    system.stripe.advance_dispute(checkout["session_id"], "lost", reinstated=1000)
    text = case.staff_reads(checkout, "Dispute lost")
    held = checkout["amount_total"] - 1500
    assert "A part of the money came back to you" in text
    assert f"€{held / 100:.2f}" in text
    refused = case.operate(checkout, "refunds", amount=1001).json()
    assert refused["refundable"] == 1000
    system.stripe.advance_dispute(checkout["session_id"], "appeal_needs_response")
    case.becomes(checkout, "dispute_status", "open")
    listed = system.get("orders", "/disputes", operator=True).json()["items"]
    assert "appeal_needs_response" in [dispute["status"] for dispute in listed]
    system.stripe.advance_dispute(checkout["session_id"], "won")
    assert "in your favor" in case.staff_reads(checkout, "Dispute won")


def test_order_held_by_a_fraud_warning_ships_after_a_decision(system: System) -> None:
    case = Case(system, "fraud")
    checkout = case.buy()
    system.stripe.warn(checkout["session_id"])
    case.becomes(checkout, "review_reason", "early-fraud-warning")
    page = case.success_page(checkout)
    assert (page["status"], page["confirmed"], page["needs_review"]) == ("paid", True, False), "a fraudster reads it"
    assert case.operate(checkout, "shipments", all=True).status_code == 409
    assert "The card's bank suspects fraud" in case.staff_reads(checkout, "Needs review")
    assert case.operate(checkout, "review", decision="accept").status_code == 200
    assert case.operate(checkout, "shipments", all=True).status_code == 201


@pytest.mark.parametrize("act", ["cancel", "review"])
def test_decision_with_a_refund_waits_for_the_chargeback(system: System, act: str) -> None:
    """Stripe refunds nothing while a chargeback is open, and afterwards what the bank does not hold."""
    case = Case(system, f"open chargeback {act}")
    checkout = case.buy()
    if act == "review":
        system.stripe.warn(checkout["session_id"])
        case.becomes(checkout, "needs_review", True)
    system.stripe.open_dispute(checkout["session_id"])
    case.becomes(checkout, "dispute_status", "open")
    refunding, other = BODIES[act]
    refused = case.operate(checkout, act, **refunding)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:clozit:problem:order-disputed")
    order = case.order(checkout)
    assert (order["refund_requests"], order["fulfillment_canceled_at"]) == ([], None)
    assert order["needs_review"] is (act == "review")
    assert case.operate(checkout, act, **other).status_code == 200
    assert case.order_field(checkout, "fulfillment_status") == "canceled"


@pytest.mark.parametrize("act", ["cancel", "review"])
def test_decision_after_a_partly_lost_dispute_refunds_the_rest(system: System, act: str) -> None:
    case = Case(system, f"partly lost {act}")
    checkout = case.buy()
    if act == "review":
        system.stripe.warn(checkout["session_id"])
        case.becomes(checkout, "needs_review", True)
    system.stripe.open_dispute(checkout["session_id"])
    system.stripe.advance_dispute(checkout["session_id"], "lost", reinstated=1000)
    case.becomes(checkout, "dispute_status", "lost")
    assert case.operate(checkout, act, **BODIES[act][0]).status_code == 200
    assert case.order_field(checkout, "amount_refunded") == 1000


def test_inquiry_is_not_called_a_dispute_and_holds_no_order(system: System) -> None:
    case = Case(system, "inquiry")
    checkout = case.buy()
    system.stripe.open_dispute(checkout["session_id"], inquiry=True)
    assert "Answer the inquiry in Stripe's dashboard by" in case.staff_reads(checkout, "Inquiry about")
    system.stripe.advance_dispute(checkout["session_id"], "warning_under_review")
    waiting = case.staff_reads(checkout, "News of the inquiry about")
    assert "An inquiry does not hold the order." in waiting
    assert "Do not ship" not in waiting
    assert case.operate(checkout, "shipments", all=True).status_code == 201
    system.stripe.advance_dispute(checkout["session_id"], "warning_closed")
    assert "It did not become a dispute." in case.staff_reads(checkout, "Inquiry closed")


def test_won_dispute_asks_to_ship_what_it_held(system: System) -> None:
    case = Case(system, "held")
    checkout = case.buy()
    system.stripe.open_dispute(checkout["session_id"])
    case.becomes(checkout, "dispute_status", "open")
    assert case.operate(checkout, "shipments", all=True).status_code == 409
    system.stripe.advance_dispute(checkout["session_id"], "won")
    assert "If something is still to be shipped, ship it now." in case.staff_reads(checkout, "Dispute won")
    assert case.operate(checkout, "shipments", all=True).status_code == 201


@pytest.mark.parametrize("language", built_in_translations())
def test_every_word_of_stripes_has_a_text(language: str) -> None:
    words = {
        "dispute": _words(stripe.Dispute, "reason"),
        "status": _words(stripe.Dispute, "status") | {*DisputeStatus},
        "failure": _words(stripe.Refund, "failure_reason"),
    }
    texts = built_in_translations()[language]["staff"]
    wanted = {f"{prefix}_{word}" for prefix, found in words.items() for word in found}
    assert {"dispute_debit_not_authorized", "status_prevented", "failure_declined"} <= wanted
    assert wanted - texts.keys() == set()


def _words(resource: type, name: str) -> set[str]:
    """Return the values of a field that Stripe's own documentation lists in its SDK."""
    documented = re.search(rf'\n    {name}: .*?"""(.*?)"""', inspect.getsource(resource), re.DOTALL)
    assert documented
    return set(re.findall(r"`(\w+)`", documented[1]))
