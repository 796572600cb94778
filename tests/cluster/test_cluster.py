"""The loss of a RabbitMQ cluster's node under load: the node that leads the queues and has all connections.

Every confirmed event is handled exactly once. Publishing continues within seconds over the remaining nodes.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any

import pytest
from events.config import Common
from events.database.engine import Database
from events.errors import PublishUnconfirmedError
from events.messaging import publisher, topology
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.kombu_connection import connect, declare_topology
from events.messaging.worker import Worker
from events.testing.fixtures import MakeDatabase, serve
from events.testing.servers.choice import private_cluster
from events.testing.servers.server import Server
from events.testing.waiting import wait_until
from sqlalchemy import text
from sqlalchemy.orm import Session

QUEUE = "orders"
PUBLISHING_THREADS = 4  # as in an ingest
CONFIRMS_BEFORE, CONFIRMS_AFTER = 200, 500  # the loss of the node
STALL_LIMIT_S = 30.0  # measured: 0.4 to 3.3 after a kill, 10.5 to 12.5 after a freeze; a busy machine takes longer
STALL_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sequence[Server]]:
    yield from serve(private_cluster)


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    made = postgres_database((INBOX, OUTBOX))
    with made.begin() as session:
        session.execute(text("CREATE TABLE effects (checkout_id text)"))
    return made


@pytest.fixture
def handlers() -> Handlers:
    registry = Handlers()

    @registry.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.data["checkout_id"]})

    return registry


class RepeatingPublisher:
    """Publishes from several threads and publishes each event again until the broker has confirmed it."""

    def __init__(self, broker_url: str) -> None:
        self.confirmed: list[str] = []
        self.longest_stall_s = 0.0  # between two confirms
        self._publisher = publisher.connect(broker_url)
        self._numbers, self._is_over, self._lock = count(), threading.Event(), threading.Lock()
        self._last_confirm_at = time.monotonic()
        self._threads = [threading.Thread(target=self._publish_repeatedly) for _ in range(PUBLISHING_THREADS)]
        for thread in self._threads:
            thread.start()

    def wait_for_confirms(self, more: int) -> None:
        """Wait until the broker has confirmed so many more events."""
        wanted = len(self.confirmed) + more
        wait_until(
            lambda: len(self.confirmed) >= wanted,
            STALL_TIMEOUT_S,
            f"{more} more confirms",
            progress=lambda: len(self.confirmed),
        )

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._publisher.close()

    def _publish_repeatedly(self) -> None:
        while not self._is_over.is_set():
            number = next(self._numbers)
            data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
            event = own_event("checkout.checkout.canceled", data, correlation_id=f"chk_{number}")
            while not self._publish(event):
                pass

    def _publish(self, event: Event) -> bool:
        try:
            self._publisher.wait(self._publisher.publish(event))
        except PublishUnconfirmedError:
            return False
        with self._lock:
            now = time.monotonic()
            self.longest_stall_s = max(self.longest_stall_s, now - self._last_confirm_at)
            self._last_confirm_at = now
            self.confirmed.append(event.data["checkout_id"])
        return True


@contextmanager
def killed(node: Server) -> Iterator[None]:
    node.kill()
    try:
        yield
    finally:
        node.start()


@contextmanager
def frozen(node: Server) -> Iterator[None]:
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


def queues(node: Server) -> dict[str, dict[str, Any]]:
    columns = ("name", "leader", "members", "online")
    listed = json.loads(node.ctl("list_queues", "--quiet", "--formatter", "json", *columns))
    return {row["name"]: row for row in listed}


def queue_leader(cluster: Sequence[Server]) -> Server:
    name = queues(cluster[0])[QUEUE]["leader"]
    return next(node for node in cluster if str(name) in node.ctl("eval", "node()."))


def test_every_queue_has_a_member_on_each_of_three_nodes(cluster: Sequence[Server]) -> None:
    with connect(cluster[0].url) as connection:
        declare_topology(connection.default_channel)
    members = {name: len(row["members"]) for name, row in queues(cluster[0]).items()}
    assert members == {queue.name: 3 for queue in topology.QUEUES}


@pytest.mark.parametrize("lost", [killed, frozen])
def test_lost_leader_under_load_loses_and_repeats_nothing(
    cluster: Sequence[Server],
    database: Database,
    handlers: Handlers,
    lost: Callable[[Server], AbstractContextManager[None]],
) -> None:
    with connect(cluster[0].url) as connection:
        declare_topology(connection.default_channel)
    leader = queue_leader(cluster)
    broker_url = ";".join(node.url for node in [leader, *(node for node in cluster if node is not leader)])
    worker = Worker(Common(service=QUEUE, port=0, broker_url=broker_url), database, handlers)
    worker.start()
    publishing = RepeatingPublisher(broker_url)
    try:
        publishing.wait_for_confirms(CONFIRMS_BEFORE)
        with lost(leader):
            publishing.wait_for_confirms(CONFIRMS_AFTER)
        publishing.wait_for_confirms(CONFIRMS_BEFORE)
    finally:
        publishing.stop()
    try:
        wait_until(
            lambda: len(effects(database)) >= len(publishing.confirmed),
            STALL_TIMEOUT_S,
            "all effects",
            progress=lambda: len(effects(database)),
        )
    finally:
        worker.stop()
    print(f"\n{lost.__name__}: {len(publishing.confirmed)} confirmed, longest stall {publishing.longest_stall_s:.1f} s")
    assert effects(database) == sorted(publishing.confirmed)
    with connect(cluster[-1].url) as connection:
        assert connection.default_channel.queue_declare(QUEUE, passive=True).message_count == 0
    assert publishing.longest_stall_s < STALL_LIMIT_S


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT checkout_id FROM effects")))
