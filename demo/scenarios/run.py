"""The run of one scenario: the actions of customer, operator and Stripe, and checks of their effects."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx

from demo.fake_stripe.errors import StripeError
from demo.fake_stripe.money import format_amount
from demo.system import System

CHECK_TIMEOUT_S = 20.0  # most effects show within a second
CURRENCY = "eur"

SUBJECTS = {  # words of each kind of e-mail's subject, in English
    "order_confirmed": "is confirmed",
    "payment_instructions": "Please pay for your order",
    "order_in_review": "We are checking your order",
    "order_canceled": "is canceled",  # by an operator; after a review: "We had to cancel your order"
    "order_shipped": "on its way",
    "refund_succeeded": "Your refund for",
    "refund_failed": "did not go through",
}

Checkout = dict[str, Any]  # the answer of POST /checkout/sessions


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: an effect as a sentence, its expected and its seen value."""

    scenario: str
    effect: str
    expected: Any
    seen: Any

    @property
    def ok(self) -> bool:
        """Return True if the effect is as expected."""
        return bool(self.expected == self.seen)


class Stock(NamedTuple):
    """The stock of one SKU, in pieces."""

    on_hand: int
    reserved: int

    def __str__(self) -> str:
        return f"{self.on_hand} on hand, {self.reserved} reserved"


class ScenarioRun:
    """One run of a scenario with its own customer. It uses the system as the shop's frontend and operators do."""

    def __init__(self, system: System, scenario: str) -> None:
        self.system, self.scenario = system, scenario
        self.results: list[CheckResult] = []
        self.email = f"{scenario.replace(' ', '-')}-{time.monotonic_ns()}@example.com"

    def check(self, effect: str, expected: Any, look: Callable[[], Any]) -> None:
        """Call `look` until it returns the expected value, for at most `CHECK_TIMEOUT_S` seconds. Store the result."""
        deadline = time.monotonic() + CHECK_TIMEOUT_S
        seen = look()
        while seen != expected and time.monotonic() < deadline:
            time.sleep(0.05)
            seen = look()
        self.results.append(CheckResult(self.scenario, effect, expected, seen))

    def start_checkout(self, items: dict[str, int], **options: Any) -> Checkout:
        """Start a checkout and return the service's answer. Raise `httpx.HTTPStatusError` if it is refused."""
        return self.request_checkout(items, **options).raise_for_status().json()  # type: ignore[no-any-return]

    def request_checkout(self, items: dict[str, int], **options: Any) -> httpx.Response:
        """Send a request for a checkout with these quantities by SKU, and return the response."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in items.items()]
        body = {
            "items": lines,
            "currency": CURRENCY,
            "customer_email": self.email,
            "shipping_option": "standard",
            "locale": "en",
        }
        return self.system.post("checkout", "/checkout/sessions", {**body, **options})

    def pay(self, checkout: Checkout, method: str = "card", effect: str = "The order is paid") -> None:
        """Pay on Stripe's page, and check that the order is paid."""
        self.system.stripe.pay(checkout["session_id"], method, self.email)
        self.check(effect, "paid", lambda: self.status(checkout))

    def pay_with_declined_card(self, checkout: Checkout) -> str:
        """Pay with a card that is declined, and return the payment page's message, or "accepted" without one."""
        try:
            self.system.stripe.pay(checkout["session_id"], "decline", self.email)
        except StripeError as error:
            return str(error)
        return "accepted"

    def operate(self, checkout: Checkout, action: str, **body: Any) -> httpx.Response:
        """Send an operator's action on the order (refunds, shipments, review) with a new idempotency key."""
        path = f"/orders/{self.order_field(checkout, 'id')}/{action}"
        return self.system.operate("POST", "orders", path, body, **new_key())

    def operate_and_check(self, effect: str, status: int, checkout: Checkout, action: str, **body: Any) -> None:
        """Send an operator's action once, and check the HTTP status of its answer."""
        answer = self.operate(checkout, action, **body)
        self.check(effect, f"HTTP {status}", lambda: f"HTTP {answer.status_code}")

    def stock(self, sku: str) -> Stock:
        """Return the stock of a SKU."""
        stock = self.system.get("inventory", f"/stock/{sku}", operator=True).raise_for_status().json()
        return Stock(stock["on_hand"], stock["reserved"])

    def is_sold(self, checkout: Checkout, sku: str) -> bool:
        """Return True if the stock of a SKU has the sale of this checkout as one of its last changes."""
        last = self.system.get("inventory", f"/stock/{sku}/movements", operator=True).raise_for_status().json()["items"]
        return any(movement["checkout_id"] == checkout["checkout_id"] for movement in last)

    def status(self, checkout: Checkout) -> str | None:
        """Return the order's status as the success page shows it, or None if there is no order yet."""
        answer = self.system.get("orders", f"/orders/by-session/{checkout['session_id']}")
        return None if answer.status_code == 404 else str(answer.raise_for_status().json()["status"])

    def order(self, checkout: Checkout) -> dict[str, Any]:
        """Return the order of a checkout as operators see it. Wait for it for at most `CHECK_TIMEOUT_S` seconds.

        Raise `ValueError` if there is still none.
        """
        deadline, path = time.monotonic() + CHECK_TIMEOUT_S, f"/orders?checkout_id={checkout['checkout_id']}"
        while not (found := self.system.get("orders", path, operator=True).json()["items"]):
            if time.monotonic() > deadline:
                raise ValueError(f"checkout {checkout['checkout_id']} has no order after {CHECK_TIMEOUT_S:g} s")
            time.sleep(0.05)
        [row] = found
        return self.system.get("orders", f"/orders/{row['id']}", operator=True).raise_for_status().json()  # type: ignore[no-any-return]

    def order_field(self, checkout: Checkout, name: str) -> Any:
        """Return one field of the order as operators see it."""
        return self.order(checkout)[name]

    def customer_emails(self) -> list[str]:
        """Return the kinds of e-mail that the customer got, sorted.

        If the mailbox caught another number of e-mails, one more item says so.
        """
        answer = self.system.get("notifications", f"/notifications?recipient={self.email}", operator=True)
        rows = answer.raise_for_status().json()["items"]
        caught = [mail for mail in self.system.mailbox.messages if self.email in mail.to]
        sent = sorted(row["kind"] for row in rows if row["status"] == "sent")
        return sent if len(caught) == len(sent) else [*sent, f"but the mailbox has {len(caught)}"]

    def email_text(self, kind: str) -> str:
        """Return the text of the customer's last e-mail of a kind, on one line; empty if there is none yet."""
        words = SUBJECTS[kind]
        texts = [mail.text for mail in self.system.mailbox.messages if self.email in mail.to and words in mail.subject]
        return " ".join(texts[-1].split()) if texts else ""

    def check_email_says(self, effect: str, kind: str, *words: str) -> None:
        """Check that the customer's last e-mail of this kind has these words."""
        self.check(effect, [*words], lambda: [word for word in words if word in self.email_text(kind)])

    def success_page(self, checkout: Checkout) -> dict[str, Any]:
        """Return the fields of the order that the success page shows, or none if there is no order yet."""
        answer = self.system.get("orders", f"/orders/by-session/{checkout['session_id']}")
        return answer.json() if answer.is_success else {}

    def staff_emails(self, checkout: Checkout) -> list[str]:
        """Return the kinds of e-mail that the staff got about this checkout, in the order of their creation."""
        return [kind for kind in self.emails_about(checkout) if kind.startswith("staff_")]

    def emails_about(self, checkout: Checkout) -> list[str]:
        """Return the kinds of e-mail that were sent about this checkout, in the order of their creation."""
        path = f"/notifications?checkout_id={checkout['checkout_id']}"
        rows = self.system.get("notifications", path, operator=True).raise_for_status().json()["items"]
        sent = [row for row in rows if row["status"] == "sent"]
        return [row["kind"] for row in sorted(sent, key=lambda row: row["created_at"])]

    def amount_refunded_at_stripe(self, checkout: Checkout) -> str:
        """Return the sum of the payment's succeeded refunds at Stripe."""
        intent = self.system.stripe.session(checkout["session_id"])["payment_intent"]
        refunds = [refund for refund in self.system.stripe.ledger["refunds"] if refund["payment_intent"] == intent]
        return amount(sum(refund["amount"] for refund in refunds if refund["status"] == "succeeded"))

    def check_amounts(self, checkout: Checkout) -> None:
        """Check that Stripe charged the checkout's total, and that the order has one payment of it."""
        session = self.system.stripe.session(checkout["session_id"])
        payments = [(payment["amount"], payment["currency"]) for payment in self.order(checkout)["payments"]]
        total = amount(checkout["amount_total"])
        self.check(
            "The order has one payment of the total", [total], lambda: [format_amount(*paid) for paid in payments]
        )
        self.check("Stripe's session has the same total", total, lambda: amount(session["amount_total"]))


def new_key() -> dict[str, str]:
    """Return the header with a new idempotency key."""
    return {"Idempotency-Key": f"demo-{time.monotonic_ns()}"}


def amount(minor: int) -> str:
    """Return an amount in minor units as text, in the scenarios' currency."""
    return format_amount(minor, CURRENCY)
