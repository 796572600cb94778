"""pytest fixtures: databases and brokers of one's own for each test."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from events.database import Database
from events.migrations import Chain, migrate
from events.testing import servers

Served = TypeVar("Served")
MakeDatabase = Callable[[Sequence[Chain]], Database]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once where the servers of this run came from."""
    for source in servers.used:
        terminalreporter.write_line(f"servers: {source}")


def serve(server: Callable[[], AbstractContextManager[Served]]) -> Iterator[Served]:
    """For fixtures: what a server's context gives; skips the test where there is none, fails it with CI=true."""
    try:
        with server() as served:
            yield served
    except servers.Unavailable as reason:
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


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[MakeDatabase]:
    """Make migrated SQLite databases, one a call."""
    made: list[Database] = []

    def make(chains: Sequence[Chain]) -> Database:
        made.append(Database(f"sqlite:///{tmp_path}/{len(made)}.db"))
        migrate(made[-1], chains)
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def postgres_database(new_postgres_url: Callable[[], str]) -> Iterator[MakeDatabase]:
    """Make migrated PostgreSQL databases, one a call."""
    made: list[Database] = []

    def make(chains: Sequence[Chain]) -> Database:
        made.append(Database(new_postgres_url()))
        migrate(made[-1], chains)
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture
def new_postgres_url(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Make empty PostgreSQL databases, one a call; their URLs."""
    names: list[str] = []

    def make() -> str:
        names.append(f"test_{secrets.token_hex(6)}")
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {names[-1]}")
        return urlunsplit(urlsplit(postgres_url)._replace(path=f"/{names[-1]}"))

    yield make
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
    from kombu import Connection

    from events import topology
    from events.consumer import declare_topology

    with Connection(rabbitmq_url) as connection:
        channel = connection.default_channel
        declare_topology(channel)
        for queue in topology.QUEUES:
            channel.queue_purge(queue.name)
    return rabbitmq_url


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
