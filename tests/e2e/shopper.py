"""A customer with a language, who buys at the fake Stripe and reads e-mails; and what Stripe has about a payment."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from json import loads
from pathlib import Path
from typing import Any

from events.testing import http
from events.testing.waiting import wait_until
from notifications.localization import choose_language, format_money

from demo.fake_stripe.server import FakeStripe
from demo.scenarios.run import ScenarioRun
from demo.shop.mailbox import Mail
from demo.system import System

ROOT = Path(__file__).parents[2]
CATALOG = {
    product["sku"]: product for product in loads((ROOT / "deploy" / "catalog.json").read_text("utf-8"))["products"]
}
TEE, SOCKS = "TEE-ORG-WHT-M", "SOC-MER-SLA-4145"
TIMEOUT_S = 30.0  # most effects show within a second


class Shopper(ScenarioRun):
    """A customer with a language, who reads e-mails of any kind and language."""

    def __init__(self, system: System, name: str, locale: str | None = "en") -> None:
        super().__init__(system, name)
        self.locale = locale

    def buy(self, *, tax: str | None = None, code: bool = False, method: str = "card", **typed: Any) -> dict[str, Any]:
        """Buy two T-shirts with a tax (added or included) and a promotion code of 8.00, and return the session."""
        with self.taxed(TEE, "19", inclusive=tax == "included") if tax else nullcontext():
            checkout = self.start_checkout({TEE: 2}, locale=self.locale)
        if code:
            typed["promotion_code"] = self.promotion_code()
        self.system.stripe.pay(checkout["session_id"], method, self.email, **typed)
        return self.system.stripe.session(checkout["session_id"])

    def promotion_code(self) -> str:
        """Create a promotion code of 8.00 EUR at Stripe and return it."""
        coupon = self.system.stripe.create("coupons", {"amount_off": "800", "currency": "eur", "duration": "once"})
        name = f"LESS{time.monotonic_ns()}"
        params = {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"], "code": name}
        self.system.stripe.create("promotion_codes", params)
        return name

    @contextmanager
    def taxed(self, sku: str, percentage: str, *, inclusive: bool) -> Iterator[None]:
        """Give the product a fixed tax rate within the block."""
        product = {name: value for name, value in CATALOG[sku].items() if name not in ("sku", "stock")}
        params = {"display_name": "VAT", "percentage": percentage, "inclusive": str(inclusive).lower()}
        rates = {"tax_rates": [self.system.stripe.create("tax_rates", params)["id"]]}
        self._put(sku, product | rates)
        yield
        self._put(sku, product)

    def _put(self, sku: str, product: dict[str, Any]) -> None:
        self.system.operate("PUT", "checkout", f"/catalog/products/{sku}", product).raise_for_status()

    def mail(self, kind: str) -> Mail:
        """Return the customer's (or for staff kinds the staff's) last e-mail of a kind, waiting for it."""
        wait_until(lambda: bool(self.mails(kind)), TIMEOUT_S, f"an e-mail {kind}")
        return self.mails(kind)[-1]

    def mails(self, kind: str) -> list[Mail]:
        """Return the customer's (or for staff kinds the staff's) e-mails of a kind so far, oldest first."""
        staff = kind.startswith("staff_")
        return [
            mail
            for mail in self.system.mailbox.messages
            if str(mail.message["Message-ID"]).strip().startswith(f"<{kind}.")
            and (self.email in mail.text if staff else self.email in mail.to)
        ]

    def text(self, kind: str) -> str:
        return " ".join(self.mail(kind).text.split())

    def last_text(self, kind: str, words: str) -> str:
        """Return the text of the last e-mail of a kind that has these words, waiting for it."""

        def found() -> list[str]:
            return [text for mail in self.mails(kind) if words in (text := " ".join(mail.text.split()))]

        wait_until(lambda: bool(found()), TIMEOUT_S, f"an e-mail {kind} with {words}")
        return found()[-1]

    @property
    def stripe(self) -> FakeStripe:
        assert isinstance(self.system.stripe, FakeStripe)
        return self.system.stripe

    def trigger(self, type_: str, object_id: str, account: str | None = None, **overrides: Any) -> str:
        """Let Stripe send an event about an object with these fields, and return the event's id."""
        body = {"type": type_, "object_id": object_id, "overrides": overrides, "account": account}
        answer = http.post(f"{self.stripe.url}/_control/trigger", json=body, timeout=30)
        return str(answer.raise_for_status().json()["id"])

    def page(self, session: dict[str, Any], status: str) -> dict[str, Any]:
        """Return what the success page shows once the order has this status."""
        path = f"/orders/by-session/{session['id']}"
        wait_until(lambda: self.system.get("orders", path).json().get("status") == status, TIMEOUT_S, status)
        return self.system.get("orders", path).json()  # type: ignore[no-any-return]


def at_stripe(system: System, session: dict[str, Any]) -> dict[str, Any]:
    """Return everything that Stripe has about a session's payment."""
    ledger = system.stripe.ledger
    of_payment = {
        name: [one for one in ledger[name] if one["payment_intent"] == session["payment_intent"]]
        for name in ("charges", "refunds", "disputes")
    }
    return {"session": session, "lines": system.stripe.line_items(session["id"]), **of_payment}


def money(minor: int, locale: str, currency: str = "eur") -> str:
    return " ".join(format_money(minor, currency, choose_language(locale).locale).split())
