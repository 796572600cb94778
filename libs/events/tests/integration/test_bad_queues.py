"""Queues that are missing, wrong or without their dead-letter queue: the others work, and no message is lost."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events.config import Common
from events.database.engine import Database
from events.messaging import declaration, topology
from events.messaging import publisher as publishers
from events.messaging.chains import INBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.kombu_connection import BusDeclaration, declare_topology
from events.messaging.publisher import Publisher
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase, empty_queues, serve
from events.testing.servers.choice import private_rabbitmq
from events.testing.servers.server import Server
from events.testing.waiting import wait_until
from kombu import Connection
from sqlalchemy import select
from sqlalchemy.orm import Session

POLICIES = Path(__file__).parents[4] / "deploy" / "rabbitmq" / "policies.json"

pytestmark = pytest.mark.usefixtures("patient_publishers")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from serve(private_rabbitmq)


@pytest.fixture
def broker(server: Server) -> Iterator[Server]:
    """Yield the server with the whole bus and no message, and delete its queues afterwards."""
    empty_queues(server.url)
    yield server
    with Connection(server.url) as connection:
        for queue in topology.QUEUES:
            connection.default_channel.queue_delete(queue.name)


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database((INBOX,))


def reading() -> Handlers:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def read(event: Event, session: Session) -> None:
        _ = event.data

    return handlers


def canceled(event_id: str) -> Event:
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    return own_event("checkout.checkout.canceled", data, event_id=event_id)


def publish(publisher: Publisher, event: Event) -> bool:
    publisher.wait(publisher.publish(event))
    return True


def depth(broker: Server, queue: str) -> int:
    with Connection(broker.url) as connection:
        count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        return count


def break_queue(broker: Server, queue: str) -> None:
    """Replace a queue by one that cannot be declared, like a queue without a majority."""
    with Connection(broker.url) as connection:
        connection.default_channel.queue_delete(queue)
        connection.default_channel.queue_declare(queue, durable=True, auto_delete=False)


def failures(queue: str) -> float:
    return float(declaration.DECLARE_FAILURES.labels(queue)._value.get())


def test_bad_queue_does_not_stop_the_publisher(broker: Server) -> None:
    before = failures("inventory")
    break_queue(broker, "inventory")
    publisher = publishers.connect(broker.url)
    try:
        assert publish(publisher, canceled("evt_1"))
        assert depth(broker, "orders") == 1
    finally:
        publisher.close()
    assert failures("inventory") == before + 1


def test_bad_queue_does_not_stop_the_workers_of_others(broker: Server, database: Database) -> None:
    handled: list[str] = []
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def handle(event: Event, session: Session) -> None:
        handled.append(event.id)

    break_queue(broker, "checkout")
    worker = Worker(Common(service="orders", port=0, broker_url=broker.url), database, handlers)
    worker.start()
    try:
        wait_until(worker.consumer.consuming.is_set, 30)
        publisher = publishers.connect(broker.url)
        assert publish(publisher, canceled("evt_1"))
        publisher.close()
        wait_until(lambda: handled == ["evt_1"], 30)
    finally:
        worker.stop()


def test_bus_is_declared_once_for_all_connections(broker: Server) -> None:
    """A reconnect declares nothing: a queue that became bad meanwhile costs no publish."""
    publisher = publishers.connect(broker.url)
    try:
        assert publish(publisher, canceled("evt_1"))
        before = failures("inventory")
        break_queue(broker, "inventory")
        broker.ctl("close_all_connections", "test")
        wait_until(lambda: publish(publisher, canceled("evt_2")), 30)
        assert failures("inventory") == before
    finally:
        publisher.close()


def test_missing_exchange_is_declared_again(broker: Server) -> None:
    """As on a new broker under the old address."""
    publisher = publishers.connect(broker.url)
    try:
        assert publish(publisher, canceled("evt_1"))
        with Connection(broker.url) as connection:
            connection.default_channel.exchange_delete(topology.EVENTS)
            connection.default_channel.queue_delete("orders")
        wait_until(lambda: publish(publisher, canceled("evt_2")), 30)
        assert depth(broker, "orders") == 1
    finally:
        publisher.close()


def test_missing_queue_is_declared_by_its_consumer(broker: Server, database: Database) -> None:
    worker = Worker(Common(service="orders", port=0, broker_url=broker.url), database, Handlers(), publishes=False)
    worker.start()
    try:
        wait_until(worker.consumer.consuming.is_set, 30)
        with Connection(broker.url) as connection:
            connection.default_channel.queue_delete("orders")
        wait_until(lambda: _consumers(broker) == 1, 30)
    finally:
        worker.stop()


def _consumers(broker: Server) -> int:
    with Connection(broker.url) as connection:
        count: int = connection.default_channel.queue_declare("orders", passive=True).consumer_count
        return count


class CutConnection(Connection):
    """A connection that is lost when the channel number `cut_at` is opened."""

    cut_at = 0
    opened = 0

    def channel(self) -> Any:
        self.opened += 1
        if self.opened == self.cut_at:
            self.connection.transport.sock.shutdown(socket.SHUT_RDWR)
        return super().channel()


@pytest.mark.parametrize("cut_at", [1, 2, len(topology.QUEUES) // 2, len(topology.QUEUES) + 1])
def test_declaration_goes_on_after_a_lost_connection(broker: Server, cut_at: int) -> None:
    with Connection(broker.url) as connection:
        for queue in topology.QUEUES:
            connection.default_channel.queue_delete(queue.name)
    declaration_ = BusDeclaration()
    declaration_.request()
    with CutConnection(broker.url) as connection:
        connection.ensure_connection()
        connection.cut_at = cut_at
        with pytest.raises(connection.connection_errors):
            declaration_.run(connection)
    with Connection(broker.url) as connection:
        declaration_.run(connection)
        for queue in topology.QUEUES:
            connection.default_channel.queue_declare(queue.name, passive=True)


def test_queue_that_ends_two_connections_is_left_out(broker: Server) -> None:
    declaration_ = BusDeclaration()
    declaration_.request()
    for cut_at in (2, len(topology.QUEUES)):  # the first queue, which is the last one then; the exchanges are declared
        with CutConnection(broker.url) as connection:
            connection.ensure_connection()
            connection.cut_at = cut_at
            with pytest.raises(connection.connection_errors):
                declaration_.run(connection)
    with CutConnection(broker.url) as connection:
        declaration_.run(connection)
        assert connection.opened == 0


def test_dead_letter_waits_for_its_queue(broker: Server, database: Database) -> None:
    """With the policies of deploy/, a rejected message stays until its dead-letter queue has confirmed it."""
    broker.ctl("eval", "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000).")  # not 180 s
    for policy in json.loads(POLICIES.read_text()):
        broker.ctl(
            "set_policy", policy["name"], policy["pattern"], json.dumps(policy["definition"]),
            "--apply-to", policy["apply-to"], "--priority", str(policy["priority"]),
        )  # fmt: skip
    with Connection(broker.url) as connection:
        connection.default_channel.queue_delete("orders.dead")
    publisher = publishers.connect(broker.url, declare=False)
    worker = Worker(
        Common(service="orders", port=0, broker_url=broker.url, declare_topology=False),
        database,
        reading(),
        publishes=False,
    )
    worker.start()
    try:
        undecodable = Event(**{**vars(canceled("evt_1")), "body": b"\xff not json"})
        good = canceled("evt_2")
        assert publish(publisher, undecodable)
        assert publish(publisher, good)
        wait_until(lambda: _outcomes(database) == {"evt_2"}, 30)  # the undecodable one is rejected by now
    finally:
        worker.stop()
        publisher.close()
    with Connection(broker.url) as connection:
        declare_topology(connection.default_channel)
    wait_until(lambda: depth(broker, "orders.dead") == 1, 60)


def _outcomes(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(InboxEvent.event_id)))
