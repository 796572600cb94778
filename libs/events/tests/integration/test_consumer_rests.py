"""A consumer that may take no messages holds none: paused, before its migration, or while its database is away."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from events.config import Common
from events.database.engine import Database
from events.database.migrations import migrate
from events.messaging import consumer
from events.messaging import publisher as publishers
from events.messaging import worker as worker_module
from events.messaging.chains import INBOX
from events.messaging.consumer import PAUSED
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.worker import Worker
from events.operations import inbox as inbox_operations
from events.testing.waiting import wait_until
from kombu import Connection, Message
from sqlalchemy import select, text
from sqlalchemy.orm import Session

EVENTS = ["evt_0", "evt_1", "evt_2", "evt_3", "evt_4", "evt_5"]


@pytest.fixture
def url(new_postgres_url: Callable[..., str]) -> str:
    return new_postgres_url()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.dispose()


@pytest.fixture
def publish(broker_url: str, patient_publishers: None) -> Iterator[Callable[..., None]]:
    publisher = publishers.connect(broker_url)

    def send(*event_ids: str) -> None:
        for event_id in event_ids:
            data = {"checkout_id": "chk_1", "session_id": "cs_1"}
            publisher.wait(publisher.publish(own_event("checkout.checkout.canceled", data, event_id=event_id)))

    yield send
    publisher.close()


@contextmanager
def running(broker_url: str, database: Database, handlers: Handlers) -> Iterator[Worker]:
    config = Common(service="orders", port=0, broker_url=broker_url)
    worker = Worker(config, database, handlers, chains=(INBOX,), publishes=False)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def accepting() -> Handlers:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def accept(event: Event, session: Session) -> None: ...

    return handlers


def done(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(select(InboxEvent.event_id).where(InboxEvent.status == "done")))


def pause(database: Database, paused: bool) -> None:
    with database.begin() as session:
        inbox_operations.set_paused(session, paused, actor="ops", reason="test")


def queue(broker_url: str) -> tuple[int, int]:
    """Return the numbers of ready messages and of consumers."""
    with Connection(broker_url) as connection:
        state = connection.default_channel.queue_declare("orders", passive=True)
        return state.message_count, state.consumer_count


def test_paused_worker_takes_no_message_at_its_start(
    publish: Callable[..., None], database: Database, broker_url: str
) -> None:
    migrate(database, (INBOX,))
    pause(database, True)
    publish("evt_1")
    with running(broker_url, database, accepting()) as worker:
        wait_until(lambda: worker.consumer._state == PAUSED, 30)
        worker.consumer.check()  # a paused worker is ready: an upgrade must not wait for it
        assert queue(broker_url) == (1, 0)
        assert done(database) == []
        pause(database, False)
        wait_until(lambda: done(database) == ["evt_1"], 30)


def test_pause_gives_prefetched_messages_back(
    publish: Callable[..., None], database: Database, broker_url: str
) -> None:
    """A message that a paused service held for 30 minutes would cost its consumer."""
    migrate(database, (INBOX,))
    handlers, working, may_end = Handlers(), threading.Event(), threading.Event()

    @handlers.on("checkout.checkout.canceled")
    def work(event: Event, session: Session) -> None:
        if event.id == "evt_1":
            working.set()
            assert may_end.wait(30)

    with running(broker_url, database, handlers) as worker:
        publish("evt_0")
        wait_until(lambda: done(database) == ["evt_0"] and not worker.consumer._prefetch_one, 30)
        publish("evt_1")
        assert working.wait(30)
        publish(*EVENTS[2:])
        wait_until(lambda: queue(broker_url)[0] == 0, 30)  # the worker has all of them
        pause(database, True)
        wait_until(lambda: worker._paused, 30)
        may_end.set()
        wait_until(lambda: queue(broker_url) == (4, 0), 30)
        assert done(database) == ["evt_0", "evt_1"]
        pause(database, False)
        wait_until(lambda: done(database) == EVENTS, 30)


def test_pause_in_a_backlog_uses_up_no_delivery(
    publish: Callable[..., None], database: Database, broker_url: str
) -> None:
    """A message on the wire at the cancel goes back to the queue, and the broker counts a delivery of it."""
    migrate(database, (INBOX,))
    backlog = [f"evt_{number:03}" for number in range(300)]
    handlers, workers = Handlers(), list[Worker]()

    @handlers.on("checkout.checkout.canceled")
    def work(event: Event, session: Session) -> None:
        if event.id == "evt_120" and not workers[0]._paused:
            pause(database, True)
            wait_until(lambda: workers[0]._paused, 30)

    publish(*backlog)
    with running(broker_url, database, handlers) as worker:
        workers.append(worker)
        wait_until(lambda: worker.consumer._state == PAUSED, 60)
        waiting = len(backlog) - len(done(database))
        wait_until(lambda: queue(broker_url) == (waiting, 0), 30)
        assert waiting > 0
        assert deliveries_used(broker_url) == []
        pause(database, False)
        wait_until(lambda: done(database) == backlog, 60)


def test_start_in_a_backlog_redelivers_no_message(
    publish: Callable[..., None], database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer starts again with a higher prefetch count once its first message was handled."""
    redelivered: list[bool] = []

    class Recording(consumer.Consumer):
        def process(self, batch: Sequence[Message], connection: Connection) -> None:
            redelivered.extend(message.delivery_info["redelivered"] for message in batch)
            super().process(batch, connection)

    monkeypatch.setattr(worker_module, "Consumer", Recording)
    migrate(database, (INBOX,))
    backlog = [f"evt_{number:03}" for number in range(100)]
    publish(*backlog)
    with running(broker_url, database, accepting()):
        wait_until(lambda: done(database) == backlog, 60)
    assert sum(redelivered) == 0


def test_worker_waits_for_its_tables(publish: Callable[..., None], database: Database, broker_url: str) -> None:
    publish("evt_1")
    with running(broker_url, database, accepting()) as worker:
        wait_until(lambda: "run the migrate command" in worker.consumer._state, 30)
        with pytest.raises(RuntimeError, match="run the migrate command"):
            worker._check()  # readiness
        assert queue(broker_url) == (1, 0)
        migrate(database, (INBOX,))
        wait_until(lambda: done(database) == ["evt_1"], 30)
        worker._check()


def test_earlier_release_works_on_later_tables(
    publish: Callable[..., None], database: Database, broker_url: str
) -> None:
    migrate(database, (INBOX,))
    with database.begin() as session:
        session.execute(text(f"UPDATE {INBOX.version_table} SET version_num = '9999'"))
    publish("evt_1")
    with running(broker_url, database, accepting()):
        wait_until(lambda: done(database) == ["evt_1"], 30)


def test_long_outage_releases_messages_uncounted(
    publish: Callable[..., None],
    url: str,
    database: Database,
    broker_url: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ closes a consumer that holds a message for 30 minutes, and counts a delivery."""
    monkeypatch.setattr(consumer, "HOLD_LIMIT_S", 1.0)
    migrate(database, (INBOX,))
    name = url.rpartition("/")[2]
    with running(broker_url, database, accepting()):
        publish("evt_0")
        wait_until(lambda: done(database) == ["evt_0"], 30)
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            publish(*EVENTS[1:])
            wait_until(lambda: queue(broker_url) == (5, 0), 30, "the release")
            assert deliveries_used(broker_url) == []
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        wait_until(lambda: done(database) == EVENTS, 30)
        with database.read() as session:
            assert set(session.scalars(select(InboxEvent.routing_key))) == {"checkout.checkout.canceled"}


def deliveries_used(broker_url: str) -> list[int]:
    """Return how often waiting messages were delivered before, for those that were. They stay in the queue."""
    with Connection(broker_url) as connection:
        channel = connection.default_channel
        waiting = iter(lambda: channel.basic_get("orders"), None)
        counts = [message.headers.get("x-delivery-count", 0) for message in waiting]
    return [count for count in counts if count]
