"""pytest fixtures: separate databases for each test, and a broker whose queues are empty when a test starts."""

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from events.database.engine import Database
from events.database.migrations import Chain, migrate
from events.messaging import publisher
from events.testing.servers import choice
from events.testing.servers.server import ServerStartError

Served = TypeVar("Served")
MakeDatabase = Callable[[Sequence[Chain]], Database]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print once where the servers of this run came from."""
    for source in dict.fromkeys(choice.used):
        terminalreporter.write_line(f"servers: {source}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the sources of the used servers from a pytest-xdist worker to the process that prints the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = choice.used


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect the sources of the servers that a pytest-xdist worker used, after the worker has ended."""
    choice.used.extend(getattr(node, "workeroutput", {}).get("servers", ()))


def serve(server: Callable[[], AbstractContextManager[Served]]) -> Iterator[Served]:
    """Enter the context of `server` for a fixture and yield its value, such as a URL.

    If the server cannot start, skip the test, or fail it with CI=true.
    """
    try:
        with server() as served:
            yield served
    except ServerStartError as reason:
        skip_or_fail(reason)


def skip_or_fail(reason: ServerStartError) -> NoReturn:
    """Skip the test, since a server is not available. With CI=true, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(reason))
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server, in which the tests create their databases."""
    yield from serve(choice.postgres)


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """Yield the URL of a RabbitMQ server, which the tests of one run share."""
    yield from serve(choice.rabbitmq)


@pytest.fixture
def patient_publishers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let publishers wait for a confirm for 30 s instead of 3 s, because a busy machine confirms late."""
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 30.0)


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return a function that returns the text logged since its last call.

    It reads the standard streams, and pytest's log capture, which has the logs if an earlier test configured `logging`.
    """
    caplog.set_level(logging.INFO)

    def read() -> str:
        text = "".join(capsys.readouterr()) + caplog.text
        caplog.clear()
        return text

    return read


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Chain]], Path]:
    """Return a function that returns the path of a migrated database file, to copy. Equal chains share one file."""
    made: dict[Sequence[Chain], Path] = {}

    def template(chains: Sequence[Chain]) -> Path:
        if (path := made.get(tuple(chains))) is None:
            path = tmp_path_factory.mktemp("template") / "migrated.db"
            _migrate(f"sqlite:///{path}", chains)
            made[tuple(chains)] = path
        return path

    return template


@pytest.fixture
def sqlite_database(tmp_path: Path, sqlite_template: Callable[[Sequence[Chain]], Path]) -> Iterator[MakeDatabase]:
    """Yield a function that creates a migrated SQLite database at each call."""
    made: list[Database] = []

    def make(chains: Sequence[Chain]) -> Database:
        path = shutil.copy(sqlite_template(chains), tmp_path / f"{len(made)}.db")
        made.append(Database(f"sqlite:///{path}"))
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[Callable[[Sequence[Chain]], str]]:
    """Yield a function that returns the name of a migrated database, to copy. Equal chains share one database."""
    made: dict[Sequence[Chain], str] = {}

    def template(chains: Sequence[Chain]) -> str:
        if (name := made.get(tuple(chains))) is None:
            name = f"template_{secrets.token_hex(6)}"
            _administer(postgres_url, f"CREATE DATABASE {name}")
            _migrate(_with_database(postgres_url, name), chains)
            made[tuple(chains)] = name
        return name

    yield template
    _administer(postgres_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in made.values()))


@pytest.fixture
def postgres_database(
    new_postgres_url: Callable[..., str], postgres_template: Callable[[Sequence[Chain]], str]
) -> Iterator[MakeDatabase]:
    """Yield a function that creates a migrated PostgreSQL database at each call."""
    made: list[Database] = []

    def make(chains: Sequence[Chain]) -> Database:
        made.append(Database(new_postgres_url(template=postgres_template(chains))))
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def new_postgres_url(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Yield a function that creates a PostgreSQL database at each call and returns its URL."""
    with postgres_databases(postgres_url) as make:
        yield make


@contextmanager
def postgres_databases(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Yield a function that creates a database at each call and returns its URL; drop all of them at the end.

    The fixture `new_postgres_url` is for one test; this context manager is for fixtures that last longer.
    """
    names: list[str] = []

    def make(template: str = "template1") -> str:
        names.append(f"test_{secrets.token_hex(6)}")
        _administer(postgres_url, f"CREATE DATABASE {names[-1]} TEMPLATE {template}")
        return _with_database(postgres_url, names[-1])

    yield make
    _administer(postgres_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in names))


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> MakeDatabase:
    """Return a function that creates migrated databases. The test runs twice: on SQLite and on PostgreSQL."""
    make: MakeDatabase = request.getfixturevalue(
        "sqlite_database" if request.param == "sqlite" else "postgres_database"
    )
    return make


@pytest.fixture
def broker_url(rabbitmq_url: str) -> str:
    """Return the URL of the run's RabbitMQ after emptying all queues."""
    empty_queues(rabbitmq_url)
    return rabbitmq_url


def empty_queues(rabbitmq_url: str) -> None:
    """Declare the whole topology and purge its queues."""
    from kombu import Connection

    from events.messaging import topology
    from events.messaging.kombu_connection import declare_topology

    with Connection(rabbitmq_url) as connection:
        channel = connection.default_channel
        declare_topology(channel)
        for queue in topology.QUEUES:
            channel.queue_purge(queue.name)


@pytest.fixture
def memory_broker_url() -> Iterator[str]:
    """Yield the URL of the broker in this process's memory, with all queues empty before and after."""
    from kombu.transport.memory import Channel, Transport

    def empty() -> None:
        Channel.queues.clear()
        Transport.global_state.clear()

    empty()
    yield "memory://"
    empty()


def _migrate(url: str, chains: Sequence[Chain]) -> None:
    database = Database(url)
    migrate(database, chains)
    database.dispose()


def _with_database(postgres_url: str, name: str) -> str:
    return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))


def _administer(postgres_url: str, *statements: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
