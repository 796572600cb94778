"""A separate broker is killed and frozen: consumer and publisher continue by themselves."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest
from events.config import Common
from events.database.engine import Database
from events.errors import PublishUnconfirmedError
from events.messaging import consumer, kombu_connection, topology
from events.messaging import publisher as publishers
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.kombu_connection import connect, declare_topology
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
    """Purge the messages of earlier tests and return the server, which answers again after a test that failed."""
    server.thaw()
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
    """Publish events at once, and those again that a busy machine confirms too late."""
    futures = {event_id: start_publish(publisher, event_id) for event_id in event_ids}
    for event_id, future in futures.items():
        if not is_confirmed(publisher, future):
            wait_until(partial(try_publish, publisher, event_id), 30)


def try_publish(publisher: Publisher, event_id: str) -> bool:
    return is_confirmed(publisher, start_publish(publisher, event_id))


def start_publish(publisher: Publisher, event_id: str) -> "Future[None]":
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    return publisher.publish(own_event("checkout.checkout.canceled", data, event_id=event_id))


def is_confirmed(publisher: Publisher, future: "Future[None]") -> bool:
    try:
        publisher.wait(future)
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
        assert time.monotonic() - started < publishers.CONFIRM_TIMEOUT_S + 5
        with pytest.raises(PublishUnconfirmedError):  # the channel is discarded: a late ack must not count
            publisher.check()
    finally:
        broker.thaw()
    wait_until(lambda: try_publish(publisher, "evt_after"), 30)


# A worker whose handler takes longer than a stop waits.
WORKER = """
import sys
from pathlib import Path
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.waiting import wait_until
handlers = Handlers()
@handlers.on("checkout.checkout.canceled")
def hang(event, session):
    Path(sys.argv[3]).touch()
    wait_until(lambda: False, 60)
Worker(Common(service="orders", port=0, broker_url=sys.argv[1]), Database(sys.argv[2]), handlers).run()
"""


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
def test_sigterm_ends_a_worker_of_a_frozen_broker(
    broker: Server, publisher: Publisher, database: Database, tmp_path: Path, is_busy: bool
) -> None:
    url, started = database.engine.url.render_as_string(hide_password=False), tmp_path / "started"
    command = [sys.executable, "-c", WORKER, broker.url, url, str(started)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _consumers(broker.url) == 1, 60)
        if is_busy:
            publish(publisher, "evt_1")
            wait_until(started.exists, 30)
        broker.freeze()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0  # 10 s on a machine that is not busy
    finally:
        process.kill()
        process.wait()
        broker.thaw()


def _consumers(url: str) -> int:
    with Connection(url) as connection:
        count: int = connection.default_channel.queue_declare("orders", passive=True).consumer_count
        return count


def recording_worker(url: str, database: Database) -> Worker:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})

    return Worker(Common(service="orders", port=0, broker_url=url), database, handlers, publishes=False)


def is_ready(worker: Worker) -> bool:
    try:
        worker.consumer.check()
    except RuntimeError:
        return False
    return True


def test_frozen_broker_makes_its_consumer_unready(
    broker: Server, publisher: Publisher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kombu_connection, "HEARTBEAT_S", 2)
    worker = recording_worker(broker.url, database)
    worker.start()
    try:
        wait_until(lambda: is_ready(worker), 30)
        publish(publisher, "evt_before")
        wait_until(lambda: effects(database) == ["evt_before"], 30)
        broker.freeze()
        wait_until(lambda: not is_ready(worker), 15)
        broker.thaw()
        wait_until(lambda: is_ready(worker), 30)
        wait_until(lambda: try_publish(publisher, "evt_after"), 30)
        wait_until(lambda: {"evt_before", "evt_after"} <= set(effects(database)), 30)
        wait_until(lambda: _depths(broker.url) == [0, 0], 30)
    finally:
        broker.thaw()
        worker.stop()
    assert len(effects(database)) == len(set(effects(database)))


@pytest.fixture
def next_node() -> Iterator[Server]:
    yield from serve(private_rabbitmq)


def test_consumer_of_a_frozen_node_takes_the_next_one(
    broker: Server, next_node: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kombu_connection, "HEARTBEAT_S", 2)
    worker = recording_worker(f"{broker.url};{next_node.url}", database)
    worker.start()
    try:
        wait_until(lambda: _consumers(broker.url) == 1, 30)
        broker.freeze()
        wait_until(lambda: _consumers(next_node.url) == 1, 30)
    finally:
        broker.thaw()
        worker.stop()


def test_request_to_a_frozen_broker_ends_its_connection(broker: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the goodbye of a connection must not wait for an answer."""
    monkeypatch.setattr(kombu_connection, "ANSWER_TIMEOUT_S", 1.0)
    with connect(broker.url) as connection:
        connection.ensure_connection()
        broker.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(connection.connection_errors, match="did not answer"), connection.channel():
                pass
            connection.release()
            assert time.monotonic() - began < 10  # without a limit it never ends
        finally:
            broker.thaw()


def test_stuck_consumer_is_unready(broker: Server, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "STUCK_AFTER_S", -1.0)
    worker = recording_worker(broker.url, database)
    worker.start()
    try:
        wait_until(worker.consumer.consuming.is_set, 30)
        with pytest.raises(RuntimeError, match="has not responded"):
            worker.consumer.check()
    finally:
        worker.stop()


def test_defaults_notice_a_frozen_broker_within_30_s() -> None:
    assert 2 * kombu_connection.HEARTBEAT_S + kombu_connection.ANSWER_TIMEOUT_S <= 30
    assert consumer.STOP_WAIT_S + kombu_connection.ANSWER_TIMEOUT_S <= 10
