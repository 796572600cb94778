"""pytest fixtures: databases and brokers of one's own for each test."""

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
from events.testing import servers

Served = TypeVar("Served")
MakeDatabase = Callable[[Sequence[Chain]], Database]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once where the servers of this run came from."""
    for source in dict.fromkeys(servers.used):
        terminalreporter.write_line(f"servers: {source}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes of a run tells the one that writes the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = servers.used


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    servers.used.extend(getattr(node, "workeroutput", {}).get("servers", ()))


def serve(server: Callable[[], AbstractContextManager[Served]]) -> Iterator[Served]:
    """For fixtures: what a server's context gives; `lacking` where there is none."""
    try:
        with server() as served:
            yield served
    except servers.Unavailable as reason:
        lacking(reason)


def lacking(reason: servers.Unavailable) -> NoReturn:
    """Skip the test for lack of a server; fail it with CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(str(reason))
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; its databases are made by the tests."""
    yield from serve(servers.postgres)


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ server, shared by the tests of one run."""
    yield from serve(servers.rabbitmq)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Chain]], Path]:
    """The file of a database that was migrated once, to be copied instead of migrating each test's own."""
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
    """Make migrated SQLite databases, one a call."""
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
    """The name of a database that was migrated once, to be copied instead of migrating each test's own."""
    made: dict[Sequence[Chain], str] = {}

    def template(chains: Sequence[Chain]) -> str:
        if (name := made.get(tuple(chains))) is None:
            name = f"template_{secrets.token_hex(6)}"
            _administer(postgres_url, f"CREATE DATABASE {name}")
            _migrate(_at(postgres_url, name), chains)
            made[tuple(chains)] = name
        return name

    yield template
    _administer(postgres_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in made.values()))


@pytest.fixture
def postgres_database(
    new_postgres_url: Callable[..., str], postgres_template: Callable[[Sequence[Chain]], str]
) -> Iterator[MakeDatabase]:
    """Make migrated PostgreSQL databases, one a call."""
    made: list[Database] = []

    def make(chains: Sequence[Chain]) -> Database:
        made.append(Database(new_postgres_url(template=postgres_template(chains))))
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def new_postgres_url(postgres_url: str) -> Iterator[Callable[..., str]]:
    """Make PostgreSQL databases, one a call, empty or as their template; their URLs."""
    with postgres_databases(postgres_url) as make:
        yield make


@contextmanager
def postgres_databases(postgres_url: str) -> Iterator[Callable[..., str]]:
    """What `new_postgres_url` gives, for fixtures that last longer."""
    names: list[str] = []

    def make(template: str = "template1") -> str:
        names.append(f"test_{secrets.token_hex(6)}")
        _administer(postgres_url, f"CREATE DATABASE {names[-1]} TEMPLATE {template}")
        return _at(postgres_url, names[-1])

    yield make
    _administer(postgres_url, *(f"DROP DATABASE {name} WITH (FORCE)" for name in names))


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest) -> MakeDatabase:
    """Make migrated databases, the test run once on each kind."""
    make: MakeDatabase = request.getfixturevalue(
        "sqlite_database" if request.param == "sqlite" else "postgres_database"
    )
    return make


@pytest.fixture
def broker_url(rabbitmq_url: str) -> str:
    """The test's RabbitMQ, with all queues empty."""
    empty_queues(rabbitmq_url)
    return rabbitmq_url


def empty_queues(rabbitmq_url: str) -> None:
    """Declare all of the bus, and purge its queues."""
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
    """The embedded bus, emptied."""
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


def _at(postgres_url: str, name: str) -> str:
    return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))


def _administer(postgres_url: str, *statements: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
