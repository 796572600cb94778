"""The broker and the database of a measurement: private, and as durable as in production."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from events.messaging import topology
from events.messaging.kombu_connection import declare_topology
from events.testing.servers import local
from events.testing.servers.server import Server
from kombu import Connection

# fsync and synchronous_commit stay on, as by default and in production. The pipeline reads the commit times.
POSTGRES_SETTINGS = ("-c", "max_connections=300", "-c", "track_commit_timestamp=on")


class Broker:
    """RabbitMQ with the topology's quorum queues, which store each message on disk before its confirm."""

    def __init__(self, server: Server) -> None:
        self.url = server.url
        self._server = server
        self._connection = Connection(server.url)
        self._channel = self._connection.default_channel
        declare_topology(self._channel)

    def depths(self) -> Mapping[str, int]:
        """Return the number of ready messages by queue."""
        names = [queue.name for queue in topology.QUEUES]
        return {name: self._channel.queue_declare(name, passive=True).message_count for name in names}

    def count_channels(self) -> int:
        """Return the number of channels, without this object's own. It takes seconds of CPU: rabbitmqctl is large."""
        return len(self._server.ctl("list_channels", "--quiet", "pid").splitlines()) - 2  # its head and our own

    def purge(self) -> None:
        """Delete the ready messages of all queues."""
        for queue in topology.QUEUES:
            self._channel.queue_purge(queue.name)

    def version(self) -> str:
        """Return the broker's version."""
        return str(self._connection.connection.server_properties["version"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Databases:
    """The databases of one PostgreSQL server, and the ways to create them and to connect."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, name: str) -> str:
        """Create a database, in place of an existing one of that name, and return its URL."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        return self._url_of(name)

    def create_with_role(self, name: str) -> str:
        """Create a database and its owner, a role of the same name, and return the database's URL as that role."""
        password = secrets.token_hex(8)
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            connection.execute(f"CREATE DATABASE {name} OWNER {name}")
        address = urlsplit(self._url)
        netloc = f"{name}:{password}@{address.hostname}:{address.port}"
        return urlunsplit(address._replace(netloc=netloc, path=f"/{name}"))

    def connect(self, name: str = "postgres") -> "psycopg.Connection[Any]":
        """Return a new connection to a database as the superuser. It commits each statement."""
        return psycopg.connect(self._url_of(name), autocommit=True)

    def _url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def settings(self) -> str:
        """Return the server's version with its settings fsync and synchronous_commit."""
        names = ("server_version", "fsync", "synchronous_commit")
        with psycopg.connect(self._url) as connection:
            found = {name: connection.execute(f"SHOW {name}").fetchone() for name in names}
        values = {name: row[0].split()[0] for name, row in found.items() if row}
        return (
            f"{values['server_version']} (fsync {values['fsync']}, synchronous_commit {values['synchronous_commit']})"
        )


@contextmanager
def servers() -> Iterator[tuple[Broker, Databases]]:
    """Run RabbitMQ and PostgreSQL until the block ends. Raises `ServerStartError` if one does not start."""
    with local.postgres(POSTGRES_SETTINGS) as postgres, local.rabbitmq() as rabbitmq:
        broker = Broker(rabbitmq)
        try:
            yield broker, Databases(postgres.url)
        finally:
            broker.close()
