"""The broker and the database under the bench: private, and as durable as in production."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from events.messaging import topology
from events.messaging.kombu_connection import declare_topology
from events.testing.servers import local
from kombu import Connection

# PostgreSQL's defaults, fsync and synchronous_commit on, as in production; commit times are what the pipeline reads.
SETTINGS = ("-c", "max_connections=300", "-c", "track_commit_timestamp=on")


class Broker:
    """RabbitMQ with the bus's topology: quorum queues, each message on disk before it is confirmed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = Connection(url)
        self._channel = self._connection.default_channel
        declare_topology(self._channel)

    def depths(self) -> Mapping[str, int]:
        """Messages that are ready, by queue."""
        names = [queue.name for queue in topology.QUEUES]
        return {name: self._channel.queue_declare(name, passive=True).message_count for name in names}

    def purge(self) -> None:
        for queue in topology.QUEUES:
            self._channel.queue_purge(queue.name)

    def version(self) -> str:
        return str(self._connection.connection.server_properties["version"])

    def close(self) -> None:
        self._connection.close()


class Databases:
    """PostgreSQL with fsync and synchronous_commit on, its defaults otherwise."""

    def __init__(self, url: str) -> None:
        self._url = url

    def create(self, name: str) -> str:
        """A new database, in place of one of that name; its URL."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def settings(self) -> str:
        names = ("server_version", "fsync", "synchronous_commit")
        with psycopg.connect(self._url) as connection:
            found = {name: connection.execute(f"SHOW {name}").fetchone() for name in names}
        values = {name: row[0].split()[0] for name, row in found.items() if row}
        return (
            f"{values['server_version']} (fsync {values['fsync']}, synchronous_commit {values['synchronous_commit']})"
        )


@contextmanager
def servers() -> Iterator[tuple[Broker, Databases]]:
    """Raises `Unavailable` where the machine has no programs for them."""
    with local.postgres(SETTINGS) as postgres, local.rabbitmq() as rabbitmq:
        broker = Broker(rabbitmq.url)
        try:
            yield broker, Databases(postgres.url)
        finally:
            broker.close()
