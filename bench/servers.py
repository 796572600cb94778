"""The broker and the database of a measurement: private, and as durable as in production."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from events.messaging import topology
from events.messaging.kombu_connection import declare_topology
from events.testing.servers import local
from kombu import Connection

# fsync and synchronous_commit stay on, as by default and in production. The pipeline reads the commit times.
POSTGRES_SETTINGS = ("-c", "max_connections=300", "-c", "track_commit_timestamp=on")


class Broker:
    """RabbitMQ with the topology's quorum queues, which store each message on disk before its confirm."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = Connection(url)
        self._channel = self._connection.default_channel
        declare_topology(self._channel)

    def depths(self) -> Mapping[str, int]:
        """Return the number of ready messages by queue."""
        names = [queue.name for queue in topology.QUEUES]
        return {name: self._channel.queue_declare(name, passive=True).message_count for name in names}

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
    """PostgreSQL with fsync and synchronous_commit on, its defaults otherwise."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, name: str) -> str:
        """Create a database, in place of an existing one of that name, and return its URL."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
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
    """Run RabbitMQ and PostgreSQL until the block ends. Raises `ServerStartError` if a program is not installed."""
    with local.postgres(POSTGRES_SETTINGS) as postgres, local.rabbitmq() as rabbitmq:
        broker = Broker(rabbitmq.url)
        try:
            yield broker, Databases(postgres.url)
        finally:
            broker.close()
