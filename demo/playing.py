"""What a scenario plays with: the system as a shop, a customer, an operator and Stripe use it; and what it finds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from demo.fake_stripe.errors import StripeError
from demo.system import System

WITHIN = 20.0  # seconds for an effect to show; it takes a fraction of one


@dataclass(frozen=True)
class Finding:
    """One effect: what should be, what was seen."""

    scenario: str
    effect: str
    expected: Any
    seen: Any

    @property
    def ok(self) -> bool:
        return bool(self.expected == self.seen)


class Play:
    """One scenario as it goes: calls the system as a shop's frontend does, and takes down what it finds."""

    def __init__(self, system: System, scenario: str) -> None:
        self.system, self.scenario = system, scenario
        self.findings: list[Finding] = []
        self.email = f"{scenario.replace(' ', '-')}-{time.monotonic_ns()}@example.com"

    def check(self, effect: str, expected: Any, look: Callable[[], Any]) -> None:
        """Look until it is as expected, or time is up; either way it is taken down."""
        deadline = time.monotonic() + WITHIN
        seen = look()
        while seen != expected and time.monotonic() < deadline:
            time.sleep(0.05)
            seen = look()
        self.findings.append(Finding(self.scenario, effect, expected, seen))

    def buy(self, items: dict[str, int], **more: Any) -> dict[str, Any]:
        """Start a checkout; what the service answered."""
        return self.try_to_buy(items, **more).raise_for_status().json()  # type: ignore[no-any-return]

    def try_to_buy(self, items: dict[str, int], **more: Any) -> httpx.Response:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in items.items()]
        body = {"items": lines, "currency": "eur", "customer_email": self.email, "shipping_option": "standard", **more}
        return self.system.post("checkout", "/checkout/sessions", body)

    def stock(self, sku: str) -> tuple[int, int]:
        """(on hand, reserved)."""
        stock = self.system.get("inventory", f"/stock/{sku}", operator=True).raise_for_status().json()
        return stock["on_hand"], stock["reserved"]

    def status(self, bought: dict[str, Any]) -> str | None:
        """The order's status as the success page sees it."""
        answer = self.system.get("orders", f"/orders/by-session/{bought['session_id']}")
        return None if answer.status_code == 404 else str(answer.raise_for_status().json()["status"])

    def order(self, bought: dict[str, Any]) -> dict[str, Any]:
        """The order as operators see it."""
        page = self.system.get("orders", f"/orders?checkout_id={bought['checkout_id']}", operator=True).json()
        [row] = page["items"]
        return self.system.get("orders", f"/orders/{row['id']}", operator=True).raise_for_status().json()  # type: ignore[no-any-return]

    def mails(self) -> list[str]:
        """The kinds of mail that this customer has been sent."""
        answer = self.system.get("notifications", f"/notifications?recipient={self.email}", operator=True)
        rows = answer.raise_for_status().json()["items"]
        caught = [mail for mail in self.system.mailbox.messages if self.email in mail.to]
        sent = sorted(row["kind"] for row in rows if row["status"] == "sent")
        return sent if len(caught) == len(sent) else [*sent, f"but {len(caught)} caught"]

    def staff_mails(self, bought: dict[str, Any]) -> list[str]:
        """The kinds of mail that the staff has been sent about this purchase, in the order of their sending."""
        path = f"/notifications?checkout_id={bought['checkout_id']}"
        rows = self.system.get("notifications", path, operator=True).raise_for_status().json()["items"]
        sent = [row for row in rows if row["status"] == "sent" and row["kind"].startswith("staff_")]
        return [row["kind"] for row in sorted(sent, key=lambda row: row["created_at"])]

    def pay(self, bought: dict[str, Any], method: str = "card") -> None:
        """Pay on Stripe's page, and see the order paid."""
        self.system.stripe.pay(bought["session_id"], method, self.email)
        self.check("order", "paid", lambda: self.status(bought))

    def fact(self, bought: dict[str, Any], name: str) -> Any:
        """One member of the order."""
        return self.order(bought)[name]

    def operate(self, bought: dict[str, Any], act: str, **body: Any) -> httpx.Response:
        """An operator's act on the order: refunds, fulfillment, review; each with a key of its own."""
        key = {"Idempotency-Key": f"demo-{time.monotonic_ns()}"}
        return self.system.operate("POST", "orders", f"/orders/{self.fact(bought, 'id')}/{act}", body, **key)

    def refunded_at_stripe(self, bought: dict[str, Any]) -> int:
        intent = self.system.stripe.session(bought["session_id"])["payment_intent"]
        refunds = [refund for refund in self.system.stripe.ledger["refunds"] if refund["payment_intent"] == intent]
        return sum(refund["amount"] for refund in refunds if refund["status"] == "succeeded")

    def pay_declined(self, bought: dict[str, Any]) -> str:
        """What the payment page says to a card that is declined."""
        try:
            self.system.stripe.pay(bought["session_id"], "decline", self.email)
        except StripeError as error:
            return str(error)
        return "accepted"

    def check_sums(self, bought: dict[str, Any]) -> None:
        session = self.system.stripe.session(bought["session_id"])
        order = self.order(bought)
        agreed = (bought["amount_total"], session["amount_total"])
        booked = [(payment["amount"], payment["currency"]) for payment in order["payments"]]
        self.check("charged = agreed = booked", [(agreed[0], "eur")], lambda: booked)
        self.check("Stripe's total", agreed[0], lambda: agreed[1])
