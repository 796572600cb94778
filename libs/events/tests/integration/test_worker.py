"""A worker with a real broker and database: each event takes effect once, despite crashes and outages."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.errors import Ignored, NotYet
from events.messaging import consumer, inbox, outbox, topology, worker
from events.messaging import publisher as publishers
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.consumer import Consumer
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.loops import Job
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import Runner
from events.messaging.worker import Worker
from events.operations import inbox as inbox_operations
from events.testing.fixtures import MakeDatabase
from events.testing.ports import free_port
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from events.testing.waiting import wait_until
from kombu import Connection, Message
from sqlalchemy import event as listener
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session


def canceled(number: int) -> Event:
    return own_event(
        "checkout.checkout.canceled",
        {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"},
        correlation_id=f"chk_{number}",
    )


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

    @registry.on("stripe.checkout.session.completed")
    def refuse(event: Event, session: Session) -> None:
        match event.object["id"]:
            case "cs_ignored":
                raise Ignored("not ours")
            case "cs_waiting":
                raise NotYet("no order yet")
            case "cs_broken":
                session.execute(text("INSERT INTO effects VALUES ('half done')"))
                raise ValueError("defect")

    return registry


@pytest.fixture
def publish(broker_url: str) -> Iterator[Callable[..., None]]:
    publisher = publishers.connect(broker_url)

    def send(*events: Event) -> None:
        for future in [publisher.publish(event) for event in events]:
            publisher.wait(future)

    yield send
    publisher.close()


@pytest.fixture
def start(broker_url: str, database: Database, handlers: Handlers) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**options: Any) -> Worker:
        config = Common(service="orders", port=0, broker_url=broker_url)
        started.append(Worker(config, database, handlers, **options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT checkout_id FROM effects")))


def rows(database: Database, status: str) -> list[InboxEvent]:
    with database.read() as session:
        return list(session.scalars(select(InboxEvent).where(InboxEvent.status == status)))


def depth(broker_url: str, queue: str) -> int:
    with Connection(broker_url) as connection:
        count: int = connection.default_channel.queue_declare(queue, passive=True).message_count
        return count


def test_redelivered_events_take_effect_once(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    events = [canceled(number) for number in range(120)]
    publish(*events[:100], *events[:60])
    start()
    publish(*events[50:])
    wait_until(lambda: len(effects(database)) == 120 and depth(broker_url, "orders") == 0, 30)
    assert effects(database) == sorted(f"chk_{number}" for number in range(120))
    assert {row.body for row in rows(database, "done")} == {None}


def test_each_delivered_event_gets_its_own_outcome(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database
) -> None:
    unfinished = [
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=f"cs_{problem}")))
        for problem in ("ignored", "waiting", "broken")
    ]
    publish(canceled(1), *unfinished, canceled(2))
    start()
    statuses = ("ignored", "waiting", "retrying")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2"] and all(rows(database, each) for each in statuses), 30)
    [ignored], [waiting], [retrying] = (rows(database, status) for status in statuses)
    assert ignored.error == "not ours"
    assert waiting.error == "NotYet: no order yet"
    assert waiting.event().object["id"] == "cs_waiting"
    assert "ValueError: defect" in (retrying.traceback or "")
    assert waiting.next_attempt_at is not None
    assert retrying.next_attempt_at is not None


def test_failed_events_are_stored_in_the_batch_transaction(database: Database, handlers: Handlers) -> None:
    """Early, unknown and failing events do not roll back the transaction that they share with others."""
    commits: list[object] = []
    listener.listen(database.engine, "commit", commits.append)
    ignored, waiting, broken = (
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=f"cs_{problem}")))
        for problem in ("ignored", "waiting", "broken")
    )
    unknown = as_bus_event(stripe_event("product.updated", {"id": "prod_1", "object": "product"}))
    fine = [canceled(number) for number in range(1, 20)]

    Runner(database, handlers).handle([fine[0], ignored, fine[1], waiting, unknown, broken, *fine[2:]])

    assert effects(database) == sorted(f"chk_{number}" for number in range(1, 20))
    assert {row.event_id: row.error for row in rows(database, "ignored")} == {
        ignored.id: "not ours",
        unknown.id: "no handler for such events",
    }
    assert [row.event().body for row in rows(database, "waiting")] == [waiting.body]
    assert ["ValueError: defect" in str(row.traceback) for row in rows(database, "retrying")] == [True]
    assert len(commits) == 1


@pytest.mark.parametrize("others", [[], ["cs_ignored"]], ids=["batch", "savepoints"])
def test_duplicate_within_a_batch_takes_effect_once(database: Database, handlers: Handlers, others: list[str]) -> None:
    more = [
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=each))) for each in others
    ]
    event = canceled(1)
    Runner(database, handlers).handle([event, canceled(2), event, *more])
    assert effects(database) == ["chk_1", "chk_2"]


def test_undecodable_body_is_dead_lettered(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    good = canceled(1)
    publish(Event(**{**vars(good), "id": "evt_bad", "body": b"\xff not json"}), good)
    with Connection(broker_url) as connection:
        connection.Producer().publish(
            b"no envelope", exchange=topology.EVENTS, routing_key="checkout.checkout.canceled"
        )
    start()
    wait_until(
        lambda: depth(broker_url, topology.dead_letter_queue("orders")) == 2 and effects(database) == ["chk_1"], 30
    )


def test_relay_publishes_outbox_rows(start: Callable[..., Worker], database: Database, broker_url: str) -> None:
    start()
    with database.begin() as session:
        data = {"checkout_id": "chk_7", "session_id": "cs_7"}
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id="chk_7")
    wait_until(lambda: effects(database) == ["chk_7"], 30)

    def is_marked() -> bool:
        with database.read() as session:
            return session.scalars(select(OutboxEvent.published_at)).one() is not None

    wait_until(is_marked, 30)


def test_paused_worker_consumes_only_after_it_is_resumed(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    start()
    wait_until(lambda: _consumers(broker_url) == 1, 30)
    with database.begin() as session:
        inbox_operations.set_paused(session, True, actor="ops", reason="test")
    wait_until(lambda: _consumers(broker_url) == 0, 30)
    publish(canceled(1))
    assert depth(broker_url, "orders") == 1
    with database.begin() as session:
        inbox_operations.set_paused(session, False, actor="ops", reason="test")
    wait_until(lambda: effects(database) == ["chk_1"], 30)


def _consumers(broker_url: str) -> int:
    with Connection(broker_url) as connection:
        count: int = connection.default_channel.queue_declare("orders", passive=True).consumer_count
        return count


def test_consumer_that_its_node_dropped_reconnects(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was cut off from its cluster keeps the connection open and delivers nothing."""
    monkeypatch.setattr(consumer, "SILENCE_LIMIT_S", 0.2)
    connections = []

    def get_consumers(self: Consumer, make: Any, channel: Any) -> list[Any]:
        connections.append(channel)
        return [] if len(connections) == 1 else original(self, make, channel)

    original = Consumer.get_consumers
    monkeypatch.setattr(Consumer, "get_consumers", get_consumers)
    start()
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    assert len(connections) == 2


def test_idle_consumer_of_an_empty_queue_stays_connected(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SILENCE_LIMIT_S", 0.0)
    calls: Counter[str] = Counter()

    def count_calls(name: str) -> None:
        original = getattr(Consumer, name)

        def counted(*args: Any) -> Any:
            calls[name] += 1
            return original(*args)

        monkeypatch.setattr(Consumer, name, counted)

    count_calls("get_consumers")
    count_calls("_ask_next_node_for_messages")
    start()
    wait_until(lambda: calls["_ask_next_node_for_messages"] >= 3, 30)
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    assert calls["get_consumers"] == 1


def test_database_away_holds_messages_until_it_is_back(
    publish: Callable[..., None],
    start: Callable[..., Worker],
    database: Database,
    broker_url: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psycopg

    redelivered: list[bool] = []
    original = consumer._is_redelivered

    def is_redelivered(message: Message) -> bool:
        redelivered.append(original(message))
        return redelivered[-1]

    monkeypatch.setattr(consumer, "_is_redelivered", is_redelivered)
    name = database.engine.url.database
    start()
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        publish(canceled(2))
        wait_until(lambda: depth(broker_url, "orders") == 0, 30)  # delivered, not acknowledged
        publish(canceled(3), canceled(4))
        wait_until(lambda: depth(broker_url, "orders") == 0, 30)  # these arrive while the first is held
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2", "chk_3", "chk_4"], 30)
    assert rows(database, "retrying") == []
    assert not any(redelivered)  # each requeue would use up the delivery limit


def test_idle_worker_queries_less_than_once_a_second(
    start: Callable[..., Worker], database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loop runs one query per poll, and all loops together poll less than once a second."""
    loops, polls = 3, 5  # retries, relay and a job, as the services have them
    assert 1 / worker.RETRY_POLL_S + 1 / worker.RELAY_POLL_S + 1 / 5 < 1
    for name in ("RETRY_POLL_S", "RELAY_POLL_S"):
        monkeypatch.setattr(worker, name, 0.5)
    start(jobs=[Job("sweep", 0.5, database.ping)])
    wait_until(lambda: _consumers(broker_url) == 1 and _listening(database), 30)
    statements: list[str] = []
    listener.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    wait_until(lambda: sum("min(inbox" in statement for statement in statements) >= polls, 30)
    queries = Counter(statement.split("FROM")[-1].split()[0] for statement in statements)
    assert sum(queries.values()) <= loops * (polls + 1), queries


def test_operator_retry_runs_at_once(
    start: Callable[..., Worker], database: Database, publish: Callable[..., None], broker_url: str
) -> None:
    """Another process, here another engine, notifies the worker; no event was due within an hour."""
    with database.begin() as session:
        inbox.store_unhandled(session, canceled(1), "retrying", ValueError("defect"))
        session.execute(update(InboxEvent).values(next_attempt_at=utcnow() + timedelta(hours=1)))
    start()
    wait_until(lambda: _consumers(broker_url) == 1, 30)
    wait_until(lambda: _listening(database), 30)
    before = utcnow()
    other = Database(database.engine.url.render_as_string(hide_password=False))
    with other.begin() as session:
        inbox_operations.apply_action(
            session, "retry", [row.event_id for row in rows(database, "retrying")], actor="ops", reason=None
        )
    other.dispose()
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    [done] = rows(database, "done")
    assert done.finished_at is not None
    assert (done.finished_at - before).total_seconds() < worker.RETRY_POLL_S / 2


def _listening(database: Database) -> bool:
    with database.read() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        return bool(session.scalar(text(query)))


def test_stop_does_not_wait_for_an_absent_broker(database: Database, handlers: Handlers) -> None:
    config = Common(service="orders", port=0, broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}/%2F")
    away = Worker(config, database, handlers, publishes=False)
    away.start()
    [consumer] = [thread for thread in away._loops.threads if thread.name == "orders-consumer"]
    away.stop()
    assert not consumer.is_alive()


def test_failing_job_runs_again(start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FAILURE_PAUSE_S", 0.01)
    ran: list[int] = []

    def fail() -> None:
        ran.append(1)
        raise RuntimeError("each time")

    start(jobs=[Job("fail", 0.01, fail)])
    wait_until(lambda: len(ran) > 2, 30)


def test_sigterm_stops_a_worker_process_cleanly(broker_url: str, database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    program = f"""
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
Worker(Common(service="orders", port=0, broker_url={broker_url!r}), Database({url!r}), Handlers()).run()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _consumers(broker_url) == 1, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def test_repeated_sigterm_lets_a_slow_handler_finish(
    publish: Callable[..., None], broker_url: str, database: Database, tmp_path: Path
) -> None:
    started, may_end = tmp_path / "started", tmp_path / "may_end"
    url = database.engine.url.render_as_string(hide_password=False)
    program = f"""
from pathlib import Path
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.waiting import wait_until
from sqlalchemy import text
handlers = Handlers()
@handlers.on("checkout.checkout.canceled")
def slow(event, session):
    Path({str(started)!r}).touch()
    wait_until(Path({str(may_end)!r}).exists, 30)
    session.execute(text("INSERT INTO effects VALUES ('slow')"))
Worker(Common(service="orders", port=0, broker_url={broker_url!r}), Database({url!r}), handlers).run()
"""
    publish(canceled(1))
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        wait_until(started.exists, 30)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        may_end.touch()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert (effects(database), depth(broker_url, "orders")) == (["slow"], 0)


def test_sigterm_cannot_deadlock_with_the_main_thread(sqlite_database: MakeDatabase, tmp_path: Path) -> None:
    """The signal interrupts the main thread while it holds a lock that a stop needs, as within `Event.set`."""
    url = sqlite_database((INBOX,)).engine.url.render_as_string(hide_password=False)
    program = f"""
import os, signal
from events.config import Common
from events.database.engine import Database
from events.messaging import inbox
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
database = Database({url!r})
worker = Worker(Common(service="orders", port=0, broker_url="memory://"), database, Handlers(), publishes=False)
run = worker.consumer.run
def interrupted():
    with database.signal(inbox.CHANNEL)._event._cond:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): pass  # the handler runs here
    run()
worker.consumer.run = interrupted
worker.run()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_stop_does_not_wait_for_the_outbox(
    broker_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, original, stopping = list[int](), outbox.claim, threading.Event()

    def claim(session: Session, **options: Any) -> Any:
        claims.append(1)
        running._loops.request_stop()
        stopping.set()
        return original(session, **options)

    with database.begin() as session:
        for number in range(2 * outbox.CLAIM_BATCH_SIZE + 1):
            data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
            outbox.add(session, "checkout.checkout.canceled", data, correlation_id=f"chk_{number}")
    monkeypatch.setattr(outbox, "claim", claim)
    running = Worker(Common(service="orders", port=0, broker_url=broker_url), database, Handlers())
    running.start()
    assert stopping.wait(30)
    running.stop()
    assert len(claims) == 1


@pytest.mark.parametrize("deaths", [[], [{"exchange": "events", "routing-keys": ["checkout.checkout.canceled"]}]])
def test_moved_message_is_handled_by_its_own_key(
    start: Callable[..., Worker], database: Database, broker_url: str, deaths: list[Any]
) -> None:
    """RabbitMQ's management page and shovels publish by the name of the queue."""
    own = canceled(1)
    stripe = as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id="cs_waiting")))
    start()
    with Connection(broker_url) as connection:
        for event in (own, stripe):
            properties = event.properties()
            headers = properties.pop("headers") | ({"x-death": deaths} if deaths and event is own else {})
            if deaths and event is own:
                properties["type"] = None
            encoding = {name: properties.pop(name) for name in ("content_type", "content_encoding")}
            connection.Producer().publish(
                event.body, exchange="", routing_key="orders", headers=headers, **encoding, **properties
            )
    wait_until(lambda: effects(database) == ["chk_1"] and rows(database, "waiting"), 30)
    [waiting] = rows(database, "waiting")
    assert waiting.routing_key == stripe.routing_key


def test_worker_without_a_broker_stops_on_request(database: Database, handlers: Handlers) -> None:
    absent = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    worker = Worker(Common(service="orders", port=0, broker_url=absent), database, handlers, publishes=False)
    worker.start()
    [consumer] = [thread for thread in worker._loops.threads if thread.name == "orders-consumer"]

    worker.stop()

    assert not consumer.is_alive()
