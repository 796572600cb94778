"""The auditor finds each kind of loss and surplus. Each test falsifies data that are consistent otherwise."""

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

from tests.faults.auditor import Auditor, Finding, Kind
from tests.faults.stripe_ledger import Answer, Purchase, SentEvent, StripeLedger

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
CONSISTENT_ROWS: Mapping[str, Rows] = {
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
FILLERS = {UtcDateTime: NOW, JSON: {}, LargeBinary: b"", Boolean: False, Integer: 0, String: "x"}


class ConsistentData:
    """Databases, ledger, queues and e-mails that agree with each other, until a test falsifies them."""

    def __init__(self, folder: Path) -> None:
        self.databases = {service: Database(f"sqlite:///{folder / service}.db") for service in CHAINS}
        for service, rows in CONSISTENT_ROWS.items():
            for chain in CHAINS[service]:
                chain.metadata.create_all(self.databases[service].engine)
            for table, values in rows:
                self.insert(service, table, values)
        purchase = Purchase("chk_1", "cs_1", "pi_1", "eur", 2489, {"TEE": 1}, "zoe@example.com")
        self.ledger = StripeLedger({"evt_1": SentEvent("evt_1", COMPLETED, [Answer(503), Answer(200)])}, [purchase])
        self.received_mails = {"<1@shop>": 1}
        self.queues: dict[str, list[str]] = {}

    def insert(self, service: str, name: str, values: Mapping[str, Any]) -> None:
        table = next(chain.metadata.tables[name] for chain in CHAINS[service] if name in chain.metadata.tables)
        with self.databases[service].begin() as session:
            session.execute(table.insert().values({**_required_values(table), **values}))

    def change(self, service: str, statement: str) -> None:
        with self.databases[service].begin() as session:
            session.execute(text(statement))

    def audit(self) -> list[Finding]:
        return self._auditor().audit(self.ledger)

    def remaining_work(self) -> list[str]:
        return self._auditor().remaining_work(self.ledger)

    def _auditor(self) -> Auditor:
        return Auditor(self.databases, lambda: self.received_mails, lambda _: self.queues)


@pytest.fixture
def data(tmp_path: Path) -> ConsistentData:
    return ConsistentData(tmp_path)


def _required_values(table: Table) -> dict[str, Any]:
    """Return a value for each column that must have one."""
    return {
        column.name: next(value for type_, value in FILLERS.items() if isinstance(column.type, type_))
        for column in table.columns
        if not column.nullable
    }


def test_consistent_data_have_no_finding(data: ConsistentData) -> None:
    assert data.audit() == []


FALSIFIED: dict[str, tuple[Kind, str, str]] = {  # what was done: (expected finding, service, statement)
    "acknowledged event lost by a consumer": (Kind.LOST, "inventory", "DELETE FROM inbox"),
    "own event lost by its receiver": (Kind.LOST, "orders", "DELETE FROM inbox WHERE event_id = 'evt_2'"),
    "order missing": (Kind.LOST, "orders", "UPDATE orders SET checkout_id = 'chk_2'"),
    "order not paid": (Kind.LOST, "orders", "UPDATE orders SET status = 'open'"),
    "payment missing": (Kind.LOST, "orders", "DELETE FROM payments"),
    "payment one cent too low": (Kind.LOST, "orders", "UPDATE payments SET amount = amount - 1"),
    "payment not marked paid": (Kind.LOST, "orders", "UPDATE payments SET paid_at = NULL"),
    "stock not moved": (Kind.LOST, "inventory", "DELETE FROM movements WHERE kind = 'sale'"),
    "stock moved twice": (Kind.DUPLICATE, "inventory", "UPDATE movements SET delta = -2 WHERE kind = 'sale'"),
    "stock changed without a movement": (Kind.DUPLICATE, "inventory", "UPDATE stock_items SET on_hand = 8"),
    "pieces still reserved": (Kind.STUCK, "inventory", "UPDATE stock_items SET reserved = 1"),
    "reservation left open": (Kind.STUCK, "inventory", "UPDATE reservations SET status = 'held'"),
    "event waiting": (Kind.STUCK, "orders", "UPDATE inbox SET status = 'waiting'"),
    "event failed": (Kind.STUCK, "checkout", "UPDATE inbox SET status = 'failed'"),
    "outbox event not published": (Kind.STUCK, "checkout", "UPDATE outbox SET published_at = NULL"),
    "event that Stripe never made": (
        Kind.UNEXPECTED,
        "orders",
        "UPDATE inbox SET event_id = 'evt_9' WHERE event_id = 'evt_1'",
    ),
    "e-mail not written": (Kind.LOST, "notifications", "DELETE FROM emails"),
    "e-mail not sent": (Kind.STUCK, "notifications", "UPDATE emails SET status = 'pending'"),
    "e-mail marked sent but not received": (Kind.LOST, "notifications", "UPDATE emails SET message_id = '<2@shop>'"),
}


@pytest.mark.parametrize("falsified", FALSIFIED)
def test_falsified_data_are_found(data: ConsistentData, falsified: str) -> None:
    kind, service, statement = FALSIFIED[falsified]
    data.change(service, statement)
    assert kind in {finding.kind for finding in data.audit()}


def test_second_payment_is_found(data: ConsistentData) -> None:
    data.insert("orders", "payments", {**PAYMENT, "id": "pi_2"})
    assert [finding.kind for finding in data.audit()] == [Kind.DUPLICATE] * 2  # of the order, and in the sum


def test_second_email_for_one_occasion_is_found(data: ConsistentData) -> None:
    data.insert("notifications", "emails", {**MAIL, "id": "eml_2", "subject_key": "again", "message_id": "<2@shop>"})
    data.received_mails["<2@shop>"] = 1
    assert [finding.kind for finding in data.audit()] == [Kind.DUPLICATE]


def test_copy_with_the_same_message_id_is_the_same_email(data: ConsistentData) -> None:
    data.received_mails["<1@shop>"] = 2
    assert data.audit() == []


def test_email_of_unknown_origin_is_found(data: ConsistentData) -> None:
    data.received_mails["<9@shop>"] = 1
    assert [finding.kind for finding in data.audit()] == [Kind.UNEXPECTED]


def test_event_that_was_only_refused_is_found(data: ConsistentData) -> None:
    data.ledger.events["evt_3"] = SentEvent("evt_3", COMPLETED, [Answer(503), Answer(None)])
    assert [finding.kind for finding in data.audit()] == [Kind.STUCK]


@pytest.mark.parametrize(
    ("queue", "kind"),
    [("orders.dead", Kind.UNEXPECTED), ("orders", Kind.STUCK), (topology.UNROUTED, Kind.UNEXPECTED)],
    ids=str,
)
def test_message_left_in_a_queue_is_found(data: ConsistentData, queue: str, kind: Kind) -> None:
    data.queues[queue] = [f"stripe.{COMPLETED}"]
    assert [finding.kind for finding in data.audit()] == [kind]


def test_event_without_receivers_may_be_unrouted(data: ConsistentData) -> None:
    data.queues[topology.UNROUTED] = ["stripe.product.updated"]
    assert data.audit() == []


def test_outbox_row_written_between_two_reads_is_waited_for(
    data: ConsistentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let orders handle its last event between two reads. The event that it publishes is then still in flight."""
    data.change("orders", "UPDATE inbox SET status = 'waiting' WHERE event_id = 'evt_1'")
    read_rows = Auditor._rows

    def handle_afterwards(auditor: Auditor, service: str, statement: str) -> Sequence[Any]:
        rows = read_rows(auditor, service, statement)
        if service == "orders":
            monkeypatch.setattr(Auditor, "_rows", read_rows)
            data.change("orders", "UPDATE inbox SET status = 'done'")
            published = {"event_id": "evt_3", "source": "orders", "routing_key": "orders.order.paid"}
            data.insert("orders", "outbox", {**published, "published_at": NOW})
        return rows

    monkeypatch.setattr(Auditor, "_rows", handle_afterwards)
    assert data.remaining_work() != []
    assert data.remaining_work() == ["notifications: 0 of 1 events handled"]
