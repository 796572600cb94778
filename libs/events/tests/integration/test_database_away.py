"""The database freezes, fails over, or another session holds its rows: messages are held, and a stop is obeyed."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from events.config import Common
from events.database import connection, engine, notify
from events.database.connection import CONNECT_OPTIONS, CONNECT_TIMEOUT_S, SESSION_SETTINGS, BoundedConnection
from events.database.engine import Database
from events.database.errors import is_away
from events.database.migrations import migrate
from events.database.notify import Signal, listen
from events.messaging import consumer, deliveries, kombu_connection
from events.messaging import publisher as publishers
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.consumer import Consumer
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.messaging.worker import Worker
from events.testing.fixtures import postgres_databases, serve
from events.testing.servers.choice import private_postgres
from events.testing.servers.server import Server
from events.testing.waiting import wait_until
from kombu import Connection, Message
from sqlalchemy import select, text
from sqlalchemy.orm import Session

ANSWER_TIMEOUT_S = 0.5
MARGIN_S = 3.0  # for a busy machine

pytestmark = pytest.mark.usefixtures("patient_publishers")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    yield from serve(private_postgres)


@pytest.fixture
def postgres(server: Server) -> Iterator[Server]:
    """Yield the server, and let it answer again after a test that failed."""
    yield server
    server.thaw()


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres_databases(postgres.url) as make:
        made = make()
        yield made
        postgres.thaw()
        with suppress(psycopg.Error), psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    migrate(made, (INBOX, OUTBOX))
    with made.begin() as session:
        session.execute(text("CREATE TABLE effects (checkout_id text)"))
    yield made
    made.dispose()


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "answer_timeout_s", ANSWER_TIMEOUT_S)


def set_session(monkeypatch: pytest.MonkeyPatch, **settings: int) -> None:
    """Change the settings of later sessions."""
    options = " ".join(f"-c {name}={value}" for name, value in {**SESSION_SETTINGS, **settings}.items())
    monkeypatch.setattr(engine, "CONNECT_OPTIONS", {**CONNECT_OPTIONS, "options": options})


@pytest.fixture
def publish(broker_url: str) -> Iterator[Callable[..., None]]:
    publisher = publishers.connect(broker_url)

    def send(*numbers: int) -> None:
        for number in numbers:
            publisher.wait(publisher.publish(canceled(number)))

    yield send
    publisher.close()


def canceled(number: int) -> Event:
    data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
    return own_event("checkout.checkout.canceled", data, correlation_id=f"chk_{number}")


def recording_handlers() -> Handlers:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        checkout = {"id": event.data["checkout_id"]}
        session.execute(text("SELECT FROM effects WHERE checkout_id = :id FOR UPDATE"), checkout)
        session.execute(text("INSERT INTO effects VALUES (:id)"), checkout)

    return handlers


@pytest.fixture
def start(broker_url: str, url: str, database: Database) -> Iterator[Callable[[], Worker]]:
    """Yield a function that starts a worker with connections of its own; `database` has made the tables."""
    del database
    started: list[Worker] = []

    def start() -> Worker:
        config = Common(service="orders", port=0, broker_url=broker_url)
        started.append(Worker(config, Database(url), recording_handlers(), publishes=False))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()
        each._database.dispose()


@pytest.fixture
def redeliveries(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that gets, for each delivery, whether it is a repeated one: those are used up."""
    seen: list[bool] = []
    original = deliveries.is_redelivered

    def record(message: Message) -> bool:
        seen.append(original(message))
        return seen[-1]

    monkeypatch.setattr(deliveries, "is_redelivered", record)
    return seen


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that gets the moment of each hold."""
    moments: list[float] = []
    original = Consumer._wait_for_database

    def hold(self: Consumer, connection: Any, until: float) -> None:
        moments.append(time.monotonic())
        original(self, connection, until)

    monkeypatch.setattr(Consumer, "_wait_for_database", hold)
    return moments


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT checkout_id FROM effects")))


def statuses(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(InboxEvent.status)))


def depth(broker_url: str) -> int:
    with Connection(broker_url) as connected:
        count: int = connected.default_channel.queue_declare("orders", passive=True).message_count
        return count


def test_server_and_client_bound_every_session(database: Database) -> None:
    """In PostgreSQL's units, which are milliseconds for all but the keepalives."""
    expected = {
        "statement_timeout": "15000",
        "lock_timeout": "10000",
        "idle_in_transaction_session_timeout": "10000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": "20000",
    }
    with database.engine.connect() as connected:
        query = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
        found = {row.name: row.setting for row in connected.execute(query, {"names": list(expected)})}
        raw = connected.connection.driver_connection
        assert isinstance(raw, BoundedConnection)
        parameters = raw.info.get_parameters()
    assert found == expected
    for name in ("tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"):
        assert parameters[name] == str(CONNECT_OPTIONS[name])


@pytest.mark.usefixtures("short_answers")
def test_frozen_server_is_away_in_time(database: Database, postgres: Server) -> None:
    database.ping()
    postgres.freeze()
    began = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class does not matter, its classification does
        database.ping()
    assert time.monotonic() - began < ANSWER_TIMEOUT_S + CONNECT_TIMEOUT_S + MARGIN_S
    assert is_away(caught.value)
    postgres.thaw()
    database.ping()


@pytest.mark.usefixtures("short_answers")
def test_statement_in_progress_ends_with_a_frozen_server(database: Database, postgres: Server) -> None:
    def run() -> None:
        with database.begin() as session:
            session.execute(text("SELECT 1"))
            postgres.freeze()
            session.execute(text("SELECT 2"))

    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class does not matter, its classification does
        run()
    assert is_away(caught.value)
    assert "no answer within" in str(caught.value)


def test_defaults_notice_an_absent_database_within_30_s() -> None:
    assert connection.STATEMENT_TIMEOUT_MS / 1000 < connection.ANSWER_TIMEOUT_S
    assert connection.ANSWER_TIMEOUT_S + CONNECT_TIMEOUT_S <= 30


@pytest.mark.usefixtures("short_answers")
def test_frozen_server_ends_its_listener(database: Database, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "LISTEN_CHECK_S", 0.1)
    monkeypatch.setattr(notify, "LISTEN_PING_S", 0.1)
    listening, errors, over = Signal(), list[BaseException](), threading.Event()

    def run() -> None:
        try:
            listen(database.engine.url, ["inbox"], lambda _channel: listening, over.is_set)
        except psycopg.OperationalError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert listening.wait(30)
    postgres.freeze()
    thread.join(30)
    over.set()
    assert ["no answer within" in str(error) for error in errors] == [True]


def test_frozen_database_holds_messages_with_heartbeats(
    publish: Callable[..., None],
    start: Callable[[], Worker],
    database: Database,
    postgres: Server,
    holds: list[float],
    redeliveries: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker drops a consumer after four to six seconds without a heartbeat; the first hold comes after twelve."""
    monkeypatch.setattr(BoundedConnection, "answer_timeout_s", 12.0)
    monkeypatch.setattr(kombu_connection, "HEARTBEAT_S", 2)
    start()
    publish(1)
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    postgres.freeze()
    publish(2)
    wait_until(lambda: holds, 60, "the hold")
    postgres.thaw()
    publish(3)  # a lost connection would deliver the second again before this one
    wait_until(lambda: effects(database) == ["chk_1", "chk_2", "chk_3"], 60)
    assert not any(redeliveries)
    assert statuses(database) == {"done"}


def test_sigterm_stops_a_worker_of_a_frozen_database(
    publish: Callable[..., None], url: str, database: Database, broker_url: str, postgres: Server
) -> None:
    program = f"""
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.runner import Runner
from events.messaging.worker import Worker
Worker(Common(service="orders", port=0, broker_url={broker_url!r}), Database({url!r}), Handlers()).run()
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        publish(1)
        wait_until(lambda: statuses(database) == {"ignored"}, 60)
        postgres.freeze()
        publish(2)
        wait_until(lambda: depth(broker_url) == 0, 30)  # delivered
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0  # 10 s on a machine that is not busy
    finally:
        process.kill()
        process.wait()
        postgres.thaw()


def test_read_only_database_holds_messages(
    publish: Callable[..., None],
    start: Callable[[], Worker],
    database: Database,
    postgres: Server,
    holds: list[float],
    redeliveries: list[bool],
) -> None:
    """As after a failover, in which the host has become a replica."""
    start()
    publish(1)
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        publish(2)
        wait_until(lambda: holds, 30, "the hold")
        admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        admin.execute("SELECT pg_reload_conf()")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2"], 30)
    assert not any(redeliveries)
    assert statuses(database) == {"done"}


def test_locked_row_holds_messages_until_it_is_free(
    publish: Callable[..., None],
    url: str,
    database: Database,
    start: Callable[[], Worker],
    holds: list[float],
    redeliveries: list[bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_session(monkeypatch, lock_timeout=200)
    start()
    publish(1)
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE effects IN EXCLUSIVE MODE")
        publish(2)
        wait_until(lambda: len(holds) >= 2, 30, "two holds")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2"], 30)
    assert not any(redeliveries)
    assert statuses(database) == {"done"}


def test_locked_row_holds_up_only_its_own_messages(
    publish: Callable[..., None],
    url: str,
    database: Database,
    start: Callable[[], Worker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_session(monkeypatch, lock_timeout=200)
    monkeypatch.setattr(consumer, "LOCK_HOLD_LIMIT_S", 0.2)
    with psycopg.connect(url) as other:
        other.execute("INSERT INTO effects VALUES ('chk_1')")
        other.commit()
        other.execute("SELECT FROM effects FOR UPDATE")
        publish(1, 2, 1, 3)
        start()
        publish(4)
        wait_until(lambda: set(effects(database)) == {"chk_1", "chk_2", "chk_3", "chk_4"}, 30, "all others")
        assert effects(database).count("chk_1") == 1
    wait_until(lambda: effects(database).count("chk_1") == 3, 30, "the locked ones")
    assert statuses(database) == {"done"}


def test_locked_messages_of_a_batch_are_released_together(
    publish: Callable[..., None],
    url: str,
    database: Database,
    broker_url: str,
    start: Callable[[], Worker],
    holds: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None is waited for after the other: fifty of them would hold up the rest of the queue for many minutes."""
    set_session(monkeypatch, lock_timeout=1000)
    monkeypatch.setattr(consumer, "LOCK_HOLD_LIMIT_S", 1.0)
    released, gate = list[int](), threading.Event()
    release, handle = Consumer._release, Runner.handle

    def count_released(self: Consumer, connection: Any, messages: Sequence[Message]) -> None:
        released.append(len(messages))
        release(self, connection, messages)

    def handle_after_delivery(self: Runner, events: Sequence[Event]) -> None:
        handle(self, events)
        if events[0].correlation_id == "chk_2":
            assert gate.wait(30)

    monkeypatch.setattr(Consumer, "_release", count_released)
    monkeypatch.setattr(Runner, "handle", handle_after_delivery)
    worker = start()
    publish(1)
    wait_until(lambda: effects(database) == ["chk_1"] and not worker.consumer._prefetch_one, 30)
    publish(2)
    wait_until(lambda: effects(database) == ["chk_1", "chk_2"], 30)
    with psycopg.connect(url) as other:
        other.execute("SELECT FROM effects WHERE checkout_id = 'chk_1' FOR UPDATE")
        publish(*[1] * 5, 3, *[1] * 5)
        wait_until(lambda: depth(broker_url) == 0, 30, "their delivery while the second is handled")
        gate.set()
        wait_until(lambda: released, 30, "the release")
        assert (released[0], holds) == (10, [])
        wait_until(lambda: "chk_3" in effects(database), 30)
    wait_until(lambda: effects(database).count("chk_1") == 11, 60, "the locked ones")
    assert statuses(database) == {"done"}


def test_transaction_of_a_lost_host_ends(url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection stays open, as without a FIN, and it sends nothing any more."""
    set_session(monkeypatch, idle_in_transaction_session_timeout=300)
    lost = Database(url)
    with lost.engine.connect() as orphan:
        orphan.execute(text("LOCK TABLE effects"))
        with database.begin() as session:
            session.execute(text("INSERT INTO effects VALUES ('free')"))
        orphan.invalidate()
    lost.dispose()
    assert effects(database) == ["free"]
