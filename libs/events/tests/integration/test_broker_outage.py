"""A separate broker is killed and frozen: consumer and publisher continue by themselves."""

import time
from collections.abc import Iterator

import pytest
from events.config import Common
from events.database.engine import Database
from events.errors import PublishUnconfirmedError
from events.messaging import publisher as publishers
from events.messaging import topology
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.kombu_connection import declare_topology
from events.messaging.publisher import Publisher
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase, serve
from events.testing.servers.choice import private_rabbitmq
from events.testing.servers.server import Server
from events.testing.waiting import wait_until
from kombu import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

RECOVERY_LIMIT_S = 15  # two or three on an idle machine


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from serve(private_rabbitmq)


@pytest.fixture
def broker(server: Server) -> Server:
    """Purge the messages of earlier tests and return the server."""
    with Connection(server.url) as connection:
        declare_topology(connection.default_channel)
        connection.default_channel.queue_purge("orders")
    return server


@pytest.fixture
def publisher(broker: Server) -> Iterator[Publisher]:
    connected = publishers.connect(broker.url)
    yield connected
    connected.close()


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    made = postgres_database((INBOX, OUTBOX))
    with made.begin() as session:
        session.execute(text("CREATE TABLE effects (event_id text)"))
    return made


def publish(publisher: Publisher, *event_ids: str) -> None:
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    events = [own_event("checkout.checkout.canceled", data, event_id=each) for each in event_ids]
    for future in [publisher.publish(event) for event in events]:
        publisher.wait(future)


def try_publish(publisher: Publisher, event_id: str) -> bool:
    try:
        publish(publisher, event_id)
    except PublishUnconfirmedError:
        return False
    return True


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT event_id FROM effects")))


def test_consumer_continues_after_a_broker_crash(broker: Server, publisher: Publisher, database: Database) -> None:
    """A message whose effect is committed but not acknowledged is redelivered and changes nothing."""
    handlers = Handlers()
    handled: list[str] = []

    @handlers.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})
        handled.append(event.id)
        if len(handled) == 1:
            broker.kill()

    ids = [f"evt_{number}" for number in range(30)]
    publish(publisher, *ids)
    worker = Worker(Common(service="orders", port=0, broker_url=broker.url), database, handlers)
    worker.start()
    try:
        wait_until(lambda: not worker.consumer.consuming.is_set() and handled, 30)
        broker.start()
        restarted = time.monotonic()
        wait_until(lambda: try_publish(publisher, "evt_after"), 30)
        wait_until(lambda: len(effects(database)) == 31, 30)
        assert time.monotonic() - restarted < RECOVERY_LIMIT_S
        wait_until(lambda: _depths(broker.url) == [0, 0], 30)
    finally:
        worker.stop()
    assert effects(database) == sorted([*ids, "evt_after"])


def _depths(url: str) -> list[int]:
    with Connection(url) as connection:
        declare = connection.default_channel.queue_declare
        return [
            declare(queue, passive=True).message_count for queue in ("orders", topology.dead_letter_queue("orders"))
        ]


def test_frozen_broker_fails_publishes_until_it_continues(broker: Server, publisher: Publisher) -> None:
    publish(publisher, "evt_before")
    broker.freeze()
    try:
        started = time.monotonic()
        assert not try_publish(publisher, "evt_frozen")
        assert time.monotonic() - started < publishers.CONFIRM_TIMEOUT_S + 1
        with pytest.raises(PublishUnconfirmedError):  # the channel is discarded: a late ack must not count
            publisher.check()
    finally:
        broker.thaw()
    wait_until(lambda: try_publish(publisher, "evt_after"), 30)
