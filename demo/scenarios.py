"""Purchases played through a running system, and every effect that each must have: for smoke and end to end tests."""

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
        stock = self.system.get("inventory", f"/stock/{sku}").raise_for_status().json()
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


def card(play: Play) -> None:
    """Pays by card."""
    shirts = {"TEE-ORG-WHT-M": 2, "BEA-RIB-RUS-OS": 1}
    before = {sku: play.stock(sku) for sku in shirts}
    bought = play.buy(shirts)
    play.check("reserved while paying", 2, lambda: play.stock("TEE-ORG-WHT-M")[1] - before["TEE-ORG-WHT-M"][1])
    play.system.stripe.pay(bought["session_id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(bought))
    for sku, quantity in shirts.items():
        after = (before[sku][0] - quantity, before[sku][1])
        play.check(f"stock {sku}", after, lambda sku=sku: play.stock(sku))  # type: ignore[misc]
    play.check("e-mails", ["order_confirmed"], play.mails)
    play.check_sums(bought)


def delayed(play: Play) -> None:
    """Pays by SEPA debit; the money comes later."""
    before = play.stock("HOD-HVY-FOR-M")
    bought = play.buy({"HOD-HVY-FOR-M": 1})
    play.system.stripe.pay(bought["session_id"], "sepa_success", play.email)
    play.check("order while pending", "payment_pending", lambda: play.status(bought))
    play.check("stock while pending", (before[0], before[1] + 1), lambda: play.stock("HOD-HVY-FOR-M"))
    play.check("e-mail while pending", ["payment_pending"], play.mails)
    play.system.stripe.settle(bought["session_id"])
    play.check("order", "paid", lambda: play.status(bought))
    play.check("stock", (before[0] - 1, before[1]), lambda: play.stock("HOD-HVY-FOR-M"))
    play.check("e-mails", ["order_confirmed", "payment_pending"], play.mails)
    play.check_sums(bought)


def delayed_failure(play: Play) -> None:
    """Pays by SEPA debit; the bank refuses later."""
    before = play.stock("HOD-HVY-FOR-L")
    bought = play.buy({"HOD-HVY-FOR-L": 1})
    play.system.stripe.pay(bought["session_id"], "sepa_fail", play.email)
    play.check("order while pending", "payment_pending", lambda: play.status(bought))
    play.system.stripe.settle(bought["session_id"])
    play.check("order", "payment_failed", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("HOD-HVY-FOR-L"))
    play.check("e-mails", ["payment_failed", "payment_pending"], play.mails)


def declined(play: Play) -> None:
    """A card is declined; the next one pays."""
    before = play.stock("CHN-PLT-KHA-32")
    bought = play.buy({"CHN-PLT-KHA-32": 1})
    play.check("card", "Your card was declined.", lambda: play.pay_declined(bought))
    play.check("attempts noted", 1, lambda: len(play.order(bought)["attempts"]) if play.status(bought) else 0)
    play.check("order after the decline", "open", lambda: play.status(bought))
    play.system.stripe.pay(bought["session_id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(bought))
    play.check("stock", (before[0] - 1, before[1]), lambda: play.stock("CHN-PLT-KHA-32"))
    play.check("e-mails", ["order_confirmed"], play.mails)


def abandoned(play: Play) -> None:
    """Leaves the payment page until it expires."""
    before = play.stock("JNS-STR-IND-32")
    bought = play.buy({"JNS-STR-IND-32": 1})
    play.check("reserved", (before[0], before[1] + 1), lambda: play.stock("JNS-STR-IND-32"))
    play.system.stripe.expire(bought["session_id"])
    play.check("order", "expired", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("JNS-STR-IND-32"))
    play.check("e-mails", ["abandoned_cart"], play.mails)


def canceled(play: Play) -> None:
    """Comes back from the payment page and gives up."""
    before = play.stock("KNT-CBL-OAT-M")
    bought = play.buy({"KNT-CBL-OAT-M": 1})
    play.system.post("checkout", f"/checkout/sessions/{bought['checkout_id']}/expire").raise_for_status()
    play.check("order", "canceled", lambda: play.status(bought))
    play.check("stock", before, lambda: play.stock("KNT-CBL-OAT-M"))
    play.check("e-mails", [], play.mails)


def out_of_stock(play: Play) -> None:
    """Wants more than there is."""
    before = play.stock("DRS-LIN-TER-38")
    wanted = {"DRS-LIN-TER-38": before[0] + 1, "SOC-MER-SLA-3640": 1}
    socks = play.stock("SOC-MER-SLA-3640")
    answer = play.try_to_buy(wanted)
    play.check("answer", 409, lambda: answer.status_code)
    play.check("short lines", ["DRS-LIN-TER-38"], lambda: [line["sku"] for line in answer.json().get("lines", [])])
    play.check("stock of the short line", before, lambda: play.stock("DRS-LIN-TER-38"))
    play.check("stock of the other line", socks, lambda: play.stock("SOC-MER-SLA-3640"))
    play.check("e-mails", [], play.mails)


SCENARIOS: dict[str, Callable[[Play], None]] = {
    "card": card,
    "SEPA, paid later": delayed,
    "SEPA, fails later": delayed_failure,
    "declined, then paid": declined,
    "abandoned": abandoned,
    "canceled": canceled,
    "out of stock": out_of_stock,
}


def play_all(system: System) -> list[Finding]:
    """Every scenario, one after the other; all findings."""
    findings: list[Finding] = []
    for name, scenario in SCENARIOS.items():
        play = Play(system, name.replace(",", ""))
        try:
            scenario(play)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            play.findings.append(Finding(name, "goes through", "yes", f"{type(error).__name__}: {error}"))
        findings += play.findings
    return findings
