"""The auditor must be able to find what it looks for: each kind of loss and surplus, doctored into sound books."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from checkout.chains import CHAINS as CHECKOUT
from events.clock import utcnow
from events.database.engine import Database
from events.database.types import UtcDateTime
from events.messaging import topology
from inventory.chains import CHAINS as INVENTORY
from notifications.chains import CHAINS as NOTIFICATIONS
from orders.chains import CHAINS as ORDERS
from sqlalchemy import JSON, Boolean, Integer, LargeBinary, String, Table, text

from tests.faults.auditor import LOST, STRAY, STUCK, TWICE, Auditor, Finding
from tests.faults.ledger import Answer, Ledger, Purchase, Sent

CHAINS = {"checkout": CHECKOUT, "orders": ORDERS, "inventory": INVENTORY, "notifications": NOTIFICATIONS}
NOW = utcnow()
COMPLETED = "checkout.session.completed"
EVENT = {"event_id": "evt_1", "source": "webhooks", "routing_key": f"stripe.{COMPLETED}", "status": "done"}
OWN = {"event_id": "evt_2", "source": "checkout", "routing_key": "checkout.checkout.started"}
ORDER = {
    "id": "ord_1",
    "checkout_id": "chk_1",
    "status": "paid",
    "refund_status": "none",
    "dispute_status": "none",
    "fulfillment_status": "unfulfilled",
}
PAYMENT = {"id": "pi_1", "order_id": "ord_1", "status": "succeeded", "currency": "eur", "amount": 2489, "paid_at": NOW}
SALE = {"id": 2, "sku": "TEE", "kind": "sale", "delta": -1, "checkout_id": "chk_1"}
MAIL = {"id": "eml_1", "checkout_id": "chk_1", "kind": "order_confirmed", "status": "sent", "message_id": "<1@shop>"}

Rows = Sequence[tuple[str, Mapping[str, Any]]]
BOOKS: Mapping[str, Rows] = {
    "checkout": [("inbox", EVENT), ("outbox", {**OWN, "published_at": NOW})],
    "orders": [("inbox", EVENT), ("inbox", {**OWN, "status": "done"}), ("orders", ORDER), ("payments", PAYMENT)],
    "inventory": [
        ("inbox", EVENT),
        ("stock_items", {"sku": "TEE", "on_hand": 9, "reserved": 0}),
        ("reservations", {"checkout_id": "chk_1", "status": "committed"}),
        ("movements", {"id": 1, "sku": "TEE", "kind": "opening", "delta": 10}),
        ("movements", SALE),
    ],
    "notifications": [("checkouts", {"checkout_id": "chk_1"}), ("emails", MAIL)],
}
FILLING = {UtcDateTime: NOW, JSON: {}, LargeBinary: b"", Boolean: False, Integer: 0, String: "x"}


class Books:
    """Databases, ledger, broker and mails that agree with each other, for a test to falsify."""

    def __init__(self, folder: Path) -> None:
        self.databases = {service: Database(f"sqlite:///{folder / service}.db") for service in CHAINS}
        for service, rows in BOOKS.items():
            for chain in CHAINS[service]:
                chain.metadata.create_all(self.databases[service].engine)
            for table, values in rows:
                self.insert(service, table, values)
        purchase = Purchase("chk_1", "cs_1", "pi_1", "eur", 2489, {"TEE": 1}, "zoe@example.com")
        self.ledger = Ledger({"evt_1": Sent("evt_1", COMPLETED, [Answer(503), Answer(200)])}, [purchase])
        self.mails = {"<1@shop>": 1}
        self.queues: dict[str, list[str]] = {}

    def insert(self, service: str, name: str, values: Mapping[str, Any]) -> None:
        table = next(chain.metadata.tables[name] for chain in CHAINS[service] if name in chain.metadata.tables)
        with self.databases[service].begin() as session:
            session.execute(table.insert().values({**_filling(table), **values}))

    def change(self, service: str, statement: str) -> None:
        with self.databases[service].begin() as session:
            session.execute(text(statement))

    def audit(self) -> list[Finding]:
        return self._auditor().audit(self.ledger)

    def unsettled(self) -> list[str]:
        return self._auditor().unsettled(self.ledger)

    def _auditor(self) -> Auditor:
        return Auditor(self.databases, lambda: self.mails, lambda _: self.queues)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path)


def _filling(table: Table) -> dict[str, Any]:
    """What a row must have, whatever it is."""
    return {
        column.name: next(value for type_, value in FILLING.items() if isinstance(column.type, type_))
        for column in table.columns
        if not column.nullable
    }


def test_sound_books_are_found_sound(books: Books) -> None:
    assert books.audit() == []


DOCTORED: dict[str, tuple[str, str, str]] = {  # what was done: (kind of finding, service, statement)
    "acknowledged event lost by a consumer": (LOST, "inventory", "DELETE FROM inbox"),
    "own event lost by its taker": (LOST, "orders", "DELETE FROM inbox WHERE event_id = 'evt_2'"),
    "order missing": (LOST, "orders", "UPDATE orders SET checkout_id = 'chk_2'"),
    "order not paid": (LOST, "orders", "UPDATE orders SET status = 'open'"),
    "payment missing": (LOST, "orders", "DELETE FROM payments"),
    "payment a cent short": (LOST, "orders", "UPDATE payments SET amount = amount - 1"),
    "payment not settled": (LOST, "orders", "UPDATE payments SET paid_at = NULL"),
    "stock not moved": (LOST, "inventory", "DELETE FROM movements WHERE kind = 'sale'"),
    "stock moved twice": (TWICE, "inventory", "UPDATE movements SET delta = -2 WHERE kind = 'sale'"),
    "shelf changed without a movement": (TWICE, "inventory", "UPDATE stock_items SET on_hand = 8"),
    "pieces still reserved": (STUCK, "inventory", "UPDATE stock_items SET reserved = 1"),
    "reservation left open": (STUCK, "inventory", "UPDATE reservations SET status = 'held'"),
    "event waiting": (STUCK, "orders", "UPDATE inbox SET status = 'waiting'"),
    "event failed": (STUCK, "checkout", "UPDATE inbox SET status = 'failed'"),
    "promise not published": (STUCK, "checkout", "UPDATE outbox SET published_at = NULL"),
    "event that Stripe never made": (STRAY, "orders", "UPDATE inbox SET event_id = 'evt_9' WHERE event_id = 'evt_1'"),
    "mail not written": (LOST, "notifications", "DELETE FROM emails"),
    "mail not sent": (STUCK, "notifications", "UPDATE emails SET status = 'pending'"),
    "mail marked sent that nobody got": (LOST, "notifications", "UPDATE emails SET message_id = '<2@shop>'"),
}


@pytest.mark.parametrize("doctored", DOCTORED)
def test_what_is_doctored_is_found(books: Books, doctored: str) -> None:
    kind, service, statement = DOCTORED[doctored]
    books.change(service, statement)
    assert kind in {finding.kind for finding in books.audit()}


def test_second_payment_is_found(books: Books) -> None:
    books.insert("orders", "payments", {**PAYMENT, "id": "pi_2"})
    assert [finding.kind for finding in books.audit()] == [TWICE, TWICE]  # on the order, and in the sum


def test_second_mail_for_one_occasion_is_found(books: Books) -> None:
    books.insert("notifications", "emails", {**MAIL, "id": "eml_2", "subject_key": "again", "message_id": "<2@shop>"})
    books.mails["<2@shop>"] = 1
    assert [finding.kind for finding in books.audit()] == [TWICE]


def test_copy_under_the_same_message_id_is_the_same_mail(books: Books) -> None:
    books.mails["<1@shop>"] = 2
    assert books.audit() == []


def test_mail_of_unknown_origin_is_found(books: Books) -> None:
    books.mails["<9@shop>"] = 1
    assert [finding.kind for finding in books.audit()] == [STRAY]


def test_event_that_was_refused_and_never_came_again_is_found(books: Books) -> None:
    books.ledger.events["evt_3"] = Sent("evt_3", COMPLETED, [Answer(503), Answer(None)])
    assert [finding.kind for finding in books.audit()] == [STUCK]


@pytest.mark.parametrize(
    ("queue", "kind"), [("orders.dead", STRAY), ("orders", STUCK), (topology.UNROUTED, STRAY)], ids=str
)
def test_message_where_none_belongs_is_found(books: Books, queue: str, kind: str) -> None:
    books.queues[queue] = [f"stripe.{COMPLETED}"]
    assert [finding.kind for finding in books.audit()] == [kind]


def test_event_that_nobody_wants_may_lie_unrouted(books: Books) -> None:
    books.queues[topology.UNROUTED] = ["stripe.product.updated"]
    assert books.audit() == []


def test_promise_that_is_made_while_the_auditor_looks_is_waited_for(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The orders handle their last event between two looks: what it promised is on its way to another service."""
    books.change("orders", "UPDATE inbox SET status = 'waiting' WHERE event_id = 'evt_1'")
    look = Auditor._rows

    def handle_after(auditor: Auditor, service: str, statement: str) -> Sequence[Any]:
        seen = look(auditor, service, statement)
        if service == "orders":
            monkeypatch.setattr(Auditor, "_rows", look)
            books.change("orders", "UPDATE inbox SET status = 'done'")
            promise = {"event_id": "evt_3", "source": "orders", "routing_key": "orders.order.paid"}
            books.insert("orders", "outbox", {**promise, "published_at": NOW})
        return seen

    monkeypatch.setattr(Auditor, "_rows", handle_after)
    assert books.unsettled() != []
    assert books.unsettled() == ["notifications: 0 of 1 events handled"]
