"""A broker of the tests' own that is killed and frozen: consumer and publisher go on by themselves."""

import time
from collections.abc import Iterator

import pytest
from events.config import Common
from events.database.engine import Database
from events.errors import PublishUnconfirmedError
from events.messaging import publisher, topology
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.consumer import declare_topology
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase, serve
from events.testing.servers import Server, private_rabbitmq, wait_until
from kombu import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

BACK_WITHIN = 15  # seconds; two or three on an idle machine


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from serve(private_rabbitmq)


@pytest.fixture
def broker(server: Server) -> Server:
    """With nothing in the queue that an earlier test published."""
    with Connection(server.url) as connection:
        declare_topology(connection.default_channel)
        connection.default_channel.queue_purge("orders")
    return server


@pytest.fixture
def publishing(broker: Server) -> Iterator[publisher.Publisher]:
    made = publisher.connect(broker.url)
    yield made
    made.close()


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    made = postgres_database((INBOX, OUTBOX))
    with made.begin() as session:
        session.execute(text("CREATE TABLE effects (event_id text)"))
    return made


def publish(publishing: publisher.Publisher, *event_ids: str) -> None:
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    events = [own_event("checkout.checkout.canceled", data, event_id=each) for each in event_ids]
    for future in [publishing.publish(event) for event in events]:
        publishing.wait(future)


def is_published(publishing: publisher.Publisher, event_id: str) -> bool:
    try:
        publish(publishing, event_id)
    except PublishUnconfirmedError:
        return False
    return True


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT event_id FROM effects")))


def test_consumer_goes_on_after_its_broker_was_killed(
    broker: Server, publishing: publisher.Publisher, database: Database
) -> None:
    """A message in hand, whose effect is committed but not acknowledged, comes again and does nothing."""
    handlers, taken = Handlers(), []

    @handlers.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})
        taken.append(event.id)
        if len(taken) == 1:
            broker.kill()

    ids = [f"evt_{number}" for number in range(30)]
    publish(publishing, *ids)
    worker = Worker(Common(service="orders", port=0, broker_url=broker.url), database, handlers)
    worker.start()
    try:
        wait_until(lambda: not worker._consumer.consuming.is_set() and taken, 30)
        broker.start()
        back = time.monotonic()
        wait_until(lambda: is_published(publishing, "evt_after"), 30)
        wait_until(lambda: len(effects(database)) == 31, 30)
        assert time.monotonic() - back < BACK_WITHIN
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


def test_frozen_broker_fails_within_the_deadline_and_takes_what_comes_after(
    broker: Server, publishing: publisher.Publisher
) -> None:
    publish(publishing, "evt_before")
    broker.freeze()
    try:
        began = time.monotonic()
        assert not is_published(publishing, "evt_frozen")
        assert time.monotonic() - began < publisher.CONFIRM_TIMEOUT_S + 1
        with pytest.raises(PublishUnconfirmedError):  # the channel is given up: a late word on it must not be awaited
            publishing.check()
    finally:
        broker.thaw()
    wait_until(lambda: is_published(publishing, "evt_after"), 30)
