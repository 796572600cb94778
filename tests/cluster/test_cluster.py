"""A node of a RabbitMQ cluster is lost under load, the one that leads the queues and that everybody talks to.

Every confirmed event is handled exactly once, and publishing goes on within seconds over the nodes that are left.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

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
from events.testing.servers import Server, private_cluster, wait_until
from sqlalchemy import text
from sqlalchemy.orm import Session

QUEUE = "orders"
CALLERS = 4  # threads that publish, as an ingest's do
BEFORE, AFTER = 200, 500  # confirmed events until the node is lost, and after it
STALL = 30.0  # seconds; measured 0.4 to 3.3 after a kill, 10.5 to 12.5 after a freeze, the rest is for a busy machine


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


class Load:
    """Publishes as a source does that asks again for whatever was not confirmed."""

    def __init__(self, broker_url: str) -> None:
        self.confirmed: list[str] = []
        self.longest_stall = 0.0  # seconds between two confirms
        self._publisher = publisher.connect(broker_url)
        self._numbers, self._over, self._lock = count(), threading.Event(), threading.Lock()
        self._last = time.monotonic()
        self._callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for caller in self._callers:
            caller.start()

    def confirms(self, more: int) -> None:
        """Wait for so many confirms from now on."""
        wanted = len(self.confirmed) + more
        wait_until(
            lambda: len(self.confirmed) >= wanted, 60, f"{more} confirms more", progress=lambda: len(self.confirmed)
        )

    def finish(self) -> None:
        self._over.set()
        for caller in self._callers:
            caller.join()
        self._publisher.close()

    def _call(self) -> None:
        while not self._over.is_set():
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
            self.longest_stall, self._last = max(self.longest_stall, now - self._last), now
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


def queues(node: Server) -> dict[str, dict[str, list[str]]]:
    columns = ("name", "leader", "members", "online")
    listed = json.loads(node.ctl("list_queues", "--quiet", "--formatter", "json", *columns))
    return {row["name"]: row for row in listed}


def leader(cluster: Sequence[Server]) -> Server:
    name = queues(cluster[0])[QUEUE]["leader"]
    return next(node for node in cluster if str(name) in node.ctl("eval", "node()."))


def test_every_queue_has_a_member_on_each_of_three_nodes(cluster: Sequence[Server]) -> None:
    with connect(cluster[0].url) as connection:
        declare_topology(connection.default_channel)
    members = {name: len(row["members"]) for name, row in queues(cluster[0]).items()}
    assert members == {queue.name: 3 for queue in topology.QUEUES}


@pytest.mark.parametrize("lost", [killed, frozen])
def test_losing_the_leader_under_load_loses_nothing_and_repeats_nothing(
    cluster: Sequence[Server], database: Database, handlers: Handlers, lost: Callable[[Server], object]
) -> None:
    with connect(cluster[0].url) as connection:
        declare_topology(connection.default_channel)
    first = leader(cluster)
    broker_url = ";".join(node.url for node in [first, *(node for node in cluster if node is not first)])
    worker = Worker(Common(service=QUEUE, port=0, broker_url=broker_url), database, handlers)
    worker.start()
    load = Load(broker_url)
    try:
        load.confirms(BEFORE)
        with lost(first):  # type: ignore[attr-defined]
            load.confirms(AFTER)
        load.confirms(BEFORE)
    finally:
        load.finish()
    try:
        wait_until(
            lambda: len(effects(database)) >= len(load.confirmed),
            60,
            "all effects",
            progress=lambda: len(effects(database)),
        )
    finally:
        worker.stop()
    print(f"\n{lost.__name__}: {len(load.confirmed)} confirmed, longest stall {load.longest_stall:.1f} s")
    assert effects(database) == sorted(load.confirmed)
    with connect(cluster[-1].url) as connection:
        assert connection.default_channel.queue_declare(QUEUE, passive=True).message_count == 0
    assert load.longest_stall < STALL


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT checkout_id FROM effects")))
