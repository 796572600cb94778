"""Mail servers that refuse, or lose their answer: from a purchase to what customers, staff and operators see."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import inventory.worker
import notifications.models
import notifications.sender
import notifications.smtp
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from events.database.engine import Database
from events.testing.waiting import wait_until
from inventory.models import StockItem
from notifications.smtp import MailServer

from demo import embedded
from demo.ports import Ports
from demo.scenarios.run import ScenarioRun, new_key
from demo.shop.mailbox import Mailbox
from demo.system import System
from tests.e2e.shopper import CATALOG, TEE, TIMEOUT_S, Shopper, money

THRESHOLD = 1  # pieces: the stock is low
STAFF = "staff@clozit.example"
SLOW_ANSWER_S = 3.0  # after the whole e-mail: longer than the patched timeout of commands, which is 10 s otherwise
SHORT_TIMEOUT_S = 2.0


class MoodyMailbox(Mailbox):
    """A mail server that treats some recipients in another way. `answers` has its answers to their addresses.

    For recipients in `cut`, the connection breaks before the answer to the e-mail. For those in `slow`, this answer
    comes after `SLOW_ANSWER_S`, as from a server that filters the content first.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answers: dict[str, str] = {}
        self.cut: set[str] = set()
        self.slow: set[str] = set()
        self.logins: list[Any] = []

    def _session(self) -> SMTP:
        """Offer a login, also without encryption."""

        def login(*login: Any) -> AuthResult:
            self.logins.append(login)
            return AuthResult(success=True)

        options: Any = {"authenticator": login, "auth_require_tls": False}
        return SMTP(self, enable_SMTPUTF8=True, hostname="localhost", loop=self._loop, **options)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer a recipient's address."""
        if answer := self.answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store an e-mail, and perhaps lose the answer or be slow with it."""
        answer = await super().handle_DATA(server, session, envelope)
        if self.slow.intersection(envelope.rcpt_tos):
            await asyncio.sleep(SLOW_ANSWER_S)
        if self.cut.intersection(envelope.rcpt_tos):
            server.transport.abort()
        return answer


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """An embedded system with a moody mail server, short waits, and e-mails to staff for orders and low stock."""
    mails, stock = {"staff_new_order": True}, {"low_stock_threshold": THRESHOLD}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "Mailbox", MoodyMailbox)
        patch.setattr(notifications.models, "UNKNOWN_RETRY_DELAY", timedelta(seconds=0.5))
        patch.setattr(inventory.worker, "LOW_STOCK_INTERVAL_S", 0.3)
        with embedded.embedded_system(folder, Ports.find_free(), notifications=mails, inventory=stock) as running:
            yield running


@pytest.fixture
def server(system: System) -> Iterator[MoodyMailbox]:
    """Yield the mail server, which is back to normal after the test."""
    assert isinstance(system.mailbox, MoodyMailbox)
    yield system.mailbox
    system.mailbox.answers.clear()
    system.mailbox.cut.clear()
    system.mailbox.slow.clear()


def buy(shopper: Shopper) -> dict[str, Any]:
    checkout = shopper.start_checkout({TEE: 1})
    shopper.pay(checkout)
    return checkout


def row(shopper: Shopper, checkout: dict[str, Any]) -> dict[str, Any]:
    """Return the confirmation's newest row, as operators see it."""
    path = f"/notifications?kind=order_confirmed&checkout_id={checkout['checkout_id']}"
    found: dict[str, Any] = shopper.system.get("notifications", path, operator=True).json()["items"][0]
    return found


def becomes(shopper: Shopper, checkout: dict[str, Any], status: str) -> dict[str, Any]:
    wait_until(lambda: row(shopper, checkout)["status"] == status, TIMEOUT_S, status)
    return row(shopper, checkout)


def test_lost_answer_is_tried_twice_then_left_to_a_person(system: System, server: MoodyMailbox) -> None:
    shopper = Shopper(system, "lost answer")
    server.cut.add(shopper.email)
    checkout = buy(shopper)
    shown = becomes(shopper, checkout, "unknown")
    assert len(shopper.mails("order_confirmed")) == 2
    server.cut.clear()
    filters = {"status": "unknown", "kind": "order_confirmed", "recipient": shopper.email}
    resent = system.operate("POST", "notifications", "/notifications/resend", filters, **new_key()).json()
    assert (resent["notification_ids"], resent["matching"]) == ([shown["id"]], 1)
    assert becomes(shopper, checkout, "sent")["resend_of"] == shown["id"]
    assert len(shopper.mails("order_confirmed")) == 3


def test_answer_slower_than_the_command_timeout_is_awaited(
    system: System, server: MoodyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the whole e-mail may take ten minutes (RFC 5321, 4.5.3.2.6). Other customers do not wait for it."""
    monkeypatch.setattr(notifications.smtp, "COMMAND_TIMEOUT_S", SHORT_TIMEOUT_S)
    monkeypatch.setattr(notifications.sender, "ANSWER_WAIT_S", SHORT_TIMEOUT_S / 10)
    shopper, other = Shopper(system, "slow server"), Shopper(system, "not slow")
    server.slow.add(shopper.email)
    checkout = buy(shopper)
    shopper.mail("order_confirmed")
    others = buy(other)
    assert becomes(other, others, "sent")["attempts"] == 1
    shown = becomes(shopper, checkout, "sent")
    assert (shown["attempts"], shown["error"], len(shopper.mails("order_confirmed"))) == (1, None, 1)


def test_refusal_that_is_about_us_defers_the_mail(system: System, server: MoodyMailbox) -> None:
    shopper = Shopper(system, "relay denied")
    server.answers[shopper.email] = "554 5.7.1 Relay access denied"
    checkout = buy(shopper)
    wait_until(lambda: row(shopper, checkout)["error"], TIMEOUT_S, "the refusal")
    shown = row(shopper, checkout)
    assert (shown["status"], shown["error"]) == ("pending", "mail server refuses us: 554 5.7.1 Relay access denied")
    assert 'outcome="blocked"' in system.get("notifications", "/metrics").text
    server.answers.clear()
    shopper.mail("order_confirmed")
    assert becomes(shopper, checkout, "sent")["error"] is None


def test_password_is_not_sent_in_clear_and_operators_read_why(
    system: System, server: MoodyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shop sets a password, and the server offers no STARTTLS."""
    connect = MailServer.connect
    monkeypatch.setattr(MailServer, "connect", lambda one: connect(replace(one, user="shop", password="secret")))
    shopper = Shopper(system, "password")
    checkout = buy(shopper)
    wait_until(lambda: row(shopper, checkout)["error"], TIMEOUT_S, "the refusal")
    shown = row(shopper, checkout)
    assert shown["status"] == "pending"
    assert shown["error"].startswith("mail server refuses us: The server offers no STARTTLS")
    assert (shopper.mails("order_confirmed"), server.logins) == ([], [])
    monkeypatch.undo()
    assert becomes(shopper, checkout, "sent")["error"] is None


def test_corrected_address_gets_the_mail(system: System, server: MoodyMailbox) -> None:
    shopper = Shopper(system, "typo")
    server.answers[shopper.email] = "550 5.1.1 No such user"
    shown = becomes(shopper, buy(shopper), "failed")
    body = {"recipient": f"corrected-{shopper.email}"}
    path = f"/notifications/{shown['id']}/resend"
    assert system.operate("POST", "notifications", path, body, **new_key()).status_code == 201
    mail = server.wait_for(lambda mail: mail.to == (body["recipient"],), TIMEOUT_S)
    assert "is confirmed" in mail.subject
    assert shopper.mails("order_confirmed") == []


def test_staff_read_of_a_new_order(system: System) -> None:
    shopper = Shopper(system, "new order")
    checkout = buy(shopper)
    text = shopper.text("staff_order_paid")
    assert shopper.order_field(checkout, "number") in text
    assert money(checkout["amount_total"], "en") in text
    assert CATALOG[TEE]["name"] in text


def rows_of(shopper: Shopper, checkout: dict[str, Any]) -> dict[str, str]:
    """Return kind → status of the checkout's e-mails, as operators see them."""
    path = f"/notifications?checkout_id={checkout['checkout_id']}"
    items = shopper.system.get("notifications", path, operator=True).json()["items"]
    return {item["kind"]: item["status"] for item in items}


def test_canceled_order_is_not_confirmed_after_an_outage(
    system: System, server: MoodyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is canceled and refunded while the mail server takes no e-mail to the customer or to staff."""
    monkeypatch.setattr(notifications.models, "RETRY_DELAYS", (timedelta(seconds=0.5),))
    shopper = Shopper(system, "canceled in an outage")
    server.answers |= dict.fromkeys((shopper.email, STAFF), "451 4.3.0 Try again later")
    checkout = buy(shopper)
    wait_until(lambda: "order_confirmed" in rows_of(shopper, checkout), TIMEOUT_S, "the confirmation is queued")
    assert shopper.operate(checkout, "cancel", refund=True).status_code == 200
    wait_until(lambda: "refund_succeeded" in rows_of(shopper, checkout), TIMEOUT_S, "the refund")
    server.answers.clear()
    shopper.mail("refund_succeeded")
    canceled = shopper.text("order_canceled")
    assert "We have canceled your order" in canceled
    assert f"You paid: {money(checkout['amount_total'], 'en')}" in canceled
    assert (shopper.mails("order_confirmed"), shopper.mails("staff_order_paid")) == ([], [])
    statuses = rows_of(shopper, checkout)
    assert (statuses["order_confirmed"], statuses["staff_order_paid"]) == ("suppressed", "suppressed")


def test_failed_payment_is_not_asked_for_after_an_outage(
    system: System, server: MoodyMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications.models, "RETRY_DELAYS", (timedelta(seconds=0.5),))
    shopper = Shopper(system, "failed in an outage")
    server.answers[shopper.email] = "451 4.3.0 Try again later"
    checkout = shopper.start_checkout({TEE: 1})
    system.stripe.pay(checkout["session_id"], "voucher_expires", shopper.email)
    wait_until(lambda: "payment_failed" in rows_of(shopper, checkout), TIMEOUT_S, "the payment fails")
    server.answers.clear()
    shopper.mail("payment_failed")
    wait_until(lambda: "pending" not in rows_of(shopper, checkout).values(), TIMEOUT_S, "the other e-mails")
    assert shopper.mails("payment_pending") + shopper.mails("payment_instructions") == []


def test_low_stock_is_mailed_once_a_day(system: System, folder: Path) -> None:
    """The stock falls to the threshold, recovers, and falls again."""
    sku, path = "LOW-STOCK", "/stock/LOW-STOCK/movements"
    product = {"group": sku, "name": "Scarce scarf", "prices": {"eur": 2000}}
    system.operate("PUT", "checkout", f"/catalog/products/{sku}", product).raise_for_status()
    opening = {"on_hand": 3, "expected": 0, "reason": "a delivery"}
    system.operate("POST", "inventory", path, opening, **new_key()).raise_for_status()

    def reported() -> int:
        seen = "/ops/inbox?type=inventory.stock.low&limit=200"
        return len(system.get("notifications", seen, operator=True).json()["items"])

    def is_low() -> bool:
        with stock.read() as session:
            return session.get_one(StockItem, sku).is_low

    stock = Database(f"sqlite:///{folder / 'inventory'}.db")
    before, run = reported(), ScenarioRun(system, "low")
    for times in (1, 2):
        run.pay(run.start_checkout({sku: 2}))
        wait_until(lambda times=times: reported() >= before + times, TIMEOUT_S, "the stock is low")  # type: ignore[misc]
        delivery = {"adjust": 2, "reason": "a delivery"}
        system.operate("POST", "inventory", path, delivery, **new_key()).raise_for_status()
        wait_until(lambda: not is_low(), TIMEOUT_S, "the service sees the delivery")
    stock.dispose()
    mails = [mail for mail in system.mailbox.messages if sku in mail.text and mail.to == (STAFF,)]
    assert [mail.message["Message-ID"].strip().startswith("<staff_stock_low.") for mail in mails] == [True]
