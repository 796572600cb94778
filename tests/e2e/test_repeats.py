"""Repeated requests of operators: without a key nothing happens, and with one an act has its effect once."""

from typing import Any

import httpx
import pytest

from demo.scenarios.run import Checkout, ScenarioRun, amount, new_key
from demo.system import System

SKU = "TEE-ORG-WHT-M"
OTHER: dict[str, dict[str, Any]] = {  # changes that make another request of an act
    "shipment": {"lines": [{"sku": SKU, "quantity": 2}]},
    "refund": {"lines": [{"sku": SKU, "quantity": 2}]},
    "adjustment": {"adjust": 2},
    "resend": {"recipient": "another@example.com"},
}


class Act:
    """One act of an operator, with what people see of it."""

    def __init__(self, run: ScenarioRun, name: str) -> None:
        self.run, self.system, self.name = run, run.system, name
        self.checkout: Checkout = run.start_checkout({SKU: 2})
        run.pay(self.checkout)
        run.check("The pieces are sold", True, lambda: run.is_sold(self.checkout, SKU))
        run.check("The confirmation is sent", ["order_confirmed"], run.customer_emails)
        self.service, self.path, self.body = self._request()

    def _request(self) -> tuple[str, str, dict[str, Any]]:
        if self.name == "shipment":
            path = f"/orders/{self.run.order_field(self.checkout, 'id')}/shipments"
            return "orders", path, {"lines": [{"sku": SKU, "quantity": 1}]}
        if self.name == "refund":
            path = f"/orders/{self.run.order_field(self.checkout, 'id')}/refunds"
            return "orders", path, {"lines": [{"sku": SKU, "quantity": 1}], "restock": True}
        if self.name == "adjustment":
            return "inventory", f"/stock/{SKU}/movements", {"adjust": 1, "reason": "found"}
        path = f"/notifications?checkout_id={self.checkout['checkout_id']}"
        [mail] = self.system.get("notifications", path, operator=True).json()["items"]
        return "notifications", f"/notifications/{mail['id']}/resend", {}

    def send(self, **headers: str) -> httpx.Response:
        return self.system.operate("POST", self.service, self.path, self.body, **headers)

    def send_other(self, **headers: str) -> httpx.Response:
        """Send another request to the same route."""
        return self.system.operate("POST", self.service, self.path, self.body | OTHER[self.name], **headers)

    def seen(self) -> tuple[list[str], int]:
        """Return the customer's mails and the stock."""
        return self.run.customer_emails(), self.run.stock(SKU).on_hand


@pytest.mark.parametrize(
    ("name", "mails", "found"),
    [
        ("shipment", ["order_confirmed", "order_shipped"], 0),
        ("refund", ["order_confirmed", "refund_succeeded"], 1),
        ("adjustment", ["order_confirmed"], 1),
        ("resend", ["order_confirmed", "order_confirmed"], 0),
    ],
)
def test_repeated_act_needs_a_key_and_has_its_effect_once(
    system: System, name: str, mails: list[str], found: int
) -> None:
    act = Act(ScenarioRun(system, f"repeated {name}"), name)
    before = act.seen()
    refused = act.send()
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:clozit:problem:idempotency-key-required")
    assert "the same one when you repeat it" in refused.json()["detail"]
    assert act.seen() == before
    key = new_key()
    answers = [act.send(**key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    act.run.check("It happens once", (mails, before[1] + found), act.seen)
    assert act.send_other(**key).status_code == 409, "the key is that of another request"
    act.run.check("It still happened once", (mails, before[1] + found), act.seen)
    assert all(result.ok for result in act.run.results), act.run.results


def test_repeated_cancellation_refunds_and_restocks_once(system: System) -> None:
    run = ScenarioRun(system, "repeated cancellation")
    before = run.stock(SKU)
    checkout = run.start_checkout({SKU: 2})
    run.pay(checkout)
    path = f"/orders/{run.order_field(checkout, 'id')}/cancel"
    key = new_key()
    answers = [system.operate("POST", "orders", path, {"refund": True}, **headers) for headers in (key, key, {})]
    assert [answer.status_code for answer in answers] == [200, 200, 409]
    run.check("All is refunded once", amount(checkout["amount_total"]), lambda: run.amount_refunded_at_stripe(checkout))
    run.check("The pieces are back", before, lambda: run.stock(SKU))
    run.check("One refund is booked", 1, lambda: len(run.order_field(checkout, "refunds")))
    kinds = ["order_canceled", "order_confirmed", "refund_succeeded"]
    run.check("The customer has one of each", kinds, run.customer_emails)
    assert all(result.ok for result in run.results), run.results


def test_stock_has_no_put_that_a_proxy_could_repeat(system: System) -> None:
    run = ScenarioRun(system, "put")
    before = run.stock(SKU)
    for path in (f"/stock/{SKU}", f"/stock/{SKU}/movements"):
        answer = system.operate("PUT", "inventory", path, {"adjust": 1, "reason": "found"}, **new_key())
        assert answer.status_code == 405
    assert run.stock(SKU) == before


def test_repeated_decision_leaves_a_later_review_open(system: System) -> None:
    run = ScenarioRun(system, "repeated decision")
    checkout = run.start_checkout({SKU: 2})
    run.pay(checkout)
    path = f"/orders/{run.order_field(checkout, 'id')}/review"

    def decide(**headers: str) -> int:
        return system.operate("POST", "orders", path, {"decision": "accept"}, **headers).status_code

    def seen() -> tuple[str | None, str | None, str]:
        order = run.order(checkout)
        return order["review_reason"], order["hold"], "Parcel" if order["shipments"] else "No parcel"

    system.stripe.warn(checkout["session_id"])
    run.check("The bank's warning holds it", ("early-fraud-warning", "review", "No parcel"), seen)
    run.check("Without a key nothing is decided", 400, decide)
    run.check("It is still held", ("early-fraud-warning", "review", "No parcel"), seen)
    key = new_key()
    run.check("It is accepted", 200, lambda: decide(**key))
    run.check("It may ship", (None, None, "No parcel"), seen)
    system.stripe.open_review(checkout["session_id"])
    run.check("Radar holds it", ("radar-review", "review", "No parcel"), seen)
    run.check("The repeat is answered", 200, lambda: decide(**key))
    run.check("Radar still holds it", ("radar-review", "review", "No parcel"), seen)
    run.operate_and_check("Nothing ships", 409, checkout, "shipments", all=True)
    run.check("A new decision is made", 200, lambda: decide(**new_key()))
    run.operate_and_check("It ships", 201, checkout, "shipments", all=True)
    run.check("The customer has one of each", ["order_confirmed", "order_shipped"], run.customer_emails)
    assert all(result.ok for result in run.results), run.results
