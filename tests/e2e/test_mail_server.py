"""Mail servers that refuse, or lose their answer: from a purchase to what customers, staff and operators see."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import inventory.worker
import notifications.models
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from events.database.engine import Database
from events.testing.waiting import wait_until
from inventory.models import StockItem

from demo import embedded
from demo.ports import Ports
from demo.scenarios.run import ScenarioRun, new_key
from demo.shop.mailbox import Mailbox
from demo.system import System
from tests.e2e.shopper import CATALOG, TEE, TIMEOUT_S, Shopper, money

THRESHOLD = 1  # pieces: the stock is low


class MoodyMailbox(Mailbox):
    """A mail server with another answer to some recipients. To those in `cut`, its answer gets lost."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answers: dict[str, str] = {}
        self.cut: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer a recipient's address."""
        if answer := self.answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store an e-mail, and perhaps lose the answer."""
        answer = await super().handle_DATA(server, session, envelope)
        if self.cut.intersection(envelope.rcpt_tos):
            server.transport.abort()
        return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the databases."""
    return tmp_path_factory.mktemp("mails")


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    """An embedded system with a moody mail server, short waits, and e-mails to staff for orders and low stock."""
    configs = embedded._configs

    def with_staff_mails(*args: Any) -> dict[str, Any]:
        made = configs(*args)
        made["notifications"] = replace(made["notifications"], staff_new_order=True)
        made["inventory"] = replace(made["inventory"], low_stock_threshold=THRESHOLD)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_configs", with_staff_mails)
        patch.setattr(embedded, "Mailbox", MoodyMailbox)
        patch.setattr(notifications.models, "UNKNOWN_RETRY_DELAY", timedelta(seconds=0.5))
        patch.setattr(inventory.worker, "LOW_STOCK_INTERVAL_S", 0.3)
        with embedded.embedded_system(folder, Ports.find_free()) as running:
            yield running


@pytest.fixture
def server(system: System) -> Iterator[MoodyMailbox]:
    """Yield the mail server, which is back to normal after the test."""
    assert isinstance(system.mailbox, MoodyMailbox)
    yield system.mailbox
    system.mailbox.answers.clear()
    system.mailbox.cut.clear()


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
    mails = [mail for mail in system.mailbox.messages if sku in mail.text and mail.to == ("staff@clozit.example",)]
    assert [mail.message["Message-ID"].strip().startswith("<staff_stock_low.") for mail in mails] == [True]
