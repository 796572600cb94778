"""Dead letters: listed without loss, requeued with a confirm before their ack, or deleted."""

import json
import socket
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result
from events.cli import service_cli
from events.config import Common
from events.database.engine import Database
from events.messaging import publisher as publishers
from events.messaging import topology
from events.messaging.chains import INBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxAuditEntry, InboxEvent
from events.messaging.worker import Worker
from events.operations import inbox as inbox_operations
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from kombu import Connection
from sqlalchemy import select
from sqlalchemy.orm import Session

Running = Callable[..., Result]
DATA = {"checkout_id": "chk_1", "session_id": "cs_1"}

pytestmark = pytest.mark.usefixtures("patient_publishers")


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database([INBOX])


@pytest.fixture
def handled() -> list[str]:
    return []


@pytest.fixture
def worker(database: Database, broker_url: str, handled: list[str]) -> Callable[[], Worker]:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        _ = event.data
        handled.append(event.id)

    config = Common(service="orders", port=0, broker_url=broker_url)
    return lambda: Worker(config, database, handlers, publishes=False)


@pytest.fixture
def run(database: Database, broker_url: str, worker: Callable[[], Worker]) -> Running:
    url = database.engine.url.render_as_string(hide_password=False)

    def load() -> Common:
        return Common(service="orders", port=0, broker_url=broker_url, database_url=url)

    group = service_cli("orders", load=load, app="none:none", create_worker=lambda _: worker(), chains=[INBOX])
    return lambda *arguments: CliRunner().invoke(group, ["dead-letters", *arguments])


@pytest.mark.parametrize("has_address", [True, False])
def test_absent_broker_is_a_message_for_the_operator(
    database: Database, monkeypatch: pytest.MonkeyPatch, has_address: bool
) -> None:
    if not has_address:
        monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")))
    url = database.engine.url.render_as_string(hide_password=False)
    config = Common(service="orders", port=0, broker_url="amqp://127.0.0.1:1/", database_url=url)
    group = service_cli("orders", load=lambda: config, app="none:none", create_worker=Mock(), chains=[INBOX])
    result = CliRunner().invoke(group, ["dead-letters", "list"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "The broker refused or did not answer" in result.output


@pytest.fixture
def dead(broker_url: str) -> None:
    """Put two messages into the dead-letter queue of orders: one with an envelope, one without."""
    publisher = publishers.connect(broker_url)
    publisher.wait(publisher.publish(own_event("checkout.checkout.canceled", DATA, event_id="evt_dead")))
    publisher.close()
    with Connection(broker_url) as connection:
        connection.Producer().publish(
            b"no envelope", exchange=topology.EVENTS, routing_key="checkout.checkout.canceled"
        )
        wait_until(lambda: depth(broker_url, "orders") == 2)
        for _ in range(2):
            message = connection.default_channel.basic_get("orders")
            connection.default_channel.basic_reject(message.delivery_tag, requeue=False)
    wait_until(lambda: depth(broker_url, "orders.dead") == 2)


def depth(broker_url: str, queue: str) -> int:
    with Connection(broker_url) as connection:
        count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        return count


def listed(run: Running) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run("list", "--json").stdout)
    return rows


def audited(database: Database) -> list[tuple[str, str | None, str | None]]:
    with database.read() as session:
        return [(row.action, row.event_id, row.reason) for row in session.scalars(select(InboxAuditEntry))]


@pytest.mark.usefixtures("dead")
def test_listing_dead_letters_often_loses_none(run: Running, broker_url: str) -> None:
    for _ in range(25):  # more than the default delivery limit
        assert len(listed(run)) == 2
    with_id, without_id = listed(run)
    assert (with_id["reference"], with_id["routing_key"], with_id["reason"], with_id["deaths"]) == (
        "evt_dead",
        "checkout.checkout.canceled",
        "rejected",
        1,
    )
    assert without_id["reference"].startswith("body:")
    assert "no envelope" in run("show", without_id["reference"]).stdout
    assert run("show", "evt_other").exit_code == 1
    assert "rejected evt_dead checkout.checkout.canceled" in run("list").stdout
    wait_until(lambda: depth(broker_url, "orders.dead") == 2)


@pytest.mark.usefixtures("dead")
def test_list_waits_for_messages_of_a_closing_connection(run: Running, broker_url: str) -> None:
    """The broker counts only ready messages, and puts messages back shortly after their connection closes."""
    with Connection(broker_url) as connection:
        for _ in range(2):
            connection.default_channel.basic_get("orders.dead")
        assert depth(broker_url, "orders.dead") == 0
        timer = threading.Timer(0.5, connection.close)
        timer.start()
        found = listed(run)
        timer.join()
    assert len({row["reference"] for row in found}) == 2


def test_empty_dead_letter_queue_is_reported_as_empty(run: Running, broker_url: str) -> None:
    publisher = publishers.connect(broker_url)
    publisher.wait(publisher.publish(own_event("checkout.checkout.canceled", DATA)))
    publisher.close()
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No dead letters" in result.stderr


@pytest.mark.usefixtures("dead")
def test_requeued_message_reaches_only_its_service(
    run: Running, worker: Callable[[], Worker], handled: list[str], database: Database, broker_url: str
) -> None:
    before = depth(broker_url, "checkout")
    result = run("requeue", "evt_dead", "--reason", "decodes now")
    assert (result.exit_code, result.stdout) == (0, "evt_dead requeued\n")
    assert audited(database) == [("dead-letter requeue", "evt_dead", "decodes now")]
    working = worker()
    working.start()
    wait_until(lambda: handled == ["evt_dead"])
    working.stop()
    with database.read() as session:
        assert session.get_one(InboxEvent, "evt_dead").routing_key == "checkout.checkout.canceled"
    assert (depth(broker_url, "checkout"), depth(broker_url, "orders.dead")) == (before, 1)


@pytest.mark.usefixtures("dead")
def test_crash_between_confirm_and_ack_keeps_both_messages(
    run: Running, worker: Callable[[], Worker], handled: list[str], broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(inbox_operations, "audit", crash)
        assert isinstance(run("requeue", "evt_dead").exception, RuntimeError)
    wait_until(lambda: depth(broker_url, "orders.dead") == 2)
    assert depth(broker_url, "orders") == 1
    assert run("requeue", "evt_dead").exit_code == 0
    working = worker()
    working.start()
    wait_until(lambda: depth(broker_url, "orders") == 0 and handled == ["evt_dead"])
    working.stop()
    assert handled == ["evt_dead"]


@pytest.mark.usefixtures("dead")
def test_delete_requires_a_reason_and_is_audited(run: Running, database: Database, broker_url: str) -> None:
    assert run("delete", "evt_dead").exit_code == 2
    assert run("delete", "--reason", "x").exit_code == 2
    assert run("delete", "evt_dead", "evt_other", "--reason", "a test").exit_code == 1  # evt_other is not there
    assert run("delete", "--all", "--reason", "the rest").exit_code == 0
    assert [(action, reason) for action, _, reason in audited(database)] == [
        ("dead-letter delete", "a test"),
        ("dead-letter delete", "the rest"),
    ]
    assert depth(broker_url, "orders.dead") == 0
