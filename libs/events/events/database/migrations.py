"""Alembic migrations, driven by code: each chain of revisions has its own version table in its service's database.

The library's inbox and outbox are separate chains. So a new release of the library migrates every service in the same
way, and a service's revisions concern only the service's tables.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text

from events.database.connection import BoundedConnection
from events.database.engine import Database

LOCK_KEY = 0x636C6F7A  # "cloz": one migration at a time in a database
LOCK_POLL_S = 0.1  # between attempts to get the lock, while another process migrates
LOCK_TIMEOUT = "5s"  # DDL that waits longer for its lock would block the service's traffic behind it
STATEMENT_TIMEOUT = "10min"  # an index on a large table takes minutes
IDLE_TIMEOUT = "60s"  # a busy machine can need many seconds from one statement of a revision to the next
TIMEOUTS = f"SET statement_timeout = '{STATEMENT_TIMEOUT}'; SET lock_timeout = '{LOCK_TIMEOUT}'"
ANSWER_TIMEOUT_S = 11 * 60.0  # longer than a statement's


@dataclass(frozen=True)
class Chain:
    """A series of revisions, in the folder `versions`, that leads to the tables of `metadata`."""

    name: str
    metadata: MetaData
    versions: Path

    @property
    def version_table(self) -> str:
        """The name of the table that records the chain's current revision."""
        return f"{self.name}_version"

    def config(self, connection: Connection | None = None) -> Config:
        """Return Alembic's configuration for this chain. Without a connection it only reads the revisions."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
        config.set_main_option("version_locations", str(self.versions))
        config.set_main_option("path_separator", "newline")
        config.attributes.update(connection=connection, chain=self)
        return config


class MigrationError(RuntimeError):
    """A database whose tables do not fit this release, or a revision that cannot be reached."""


def migrate(database: Database, chains: Sequence[Chain], revision: str = "head") -> None:
    """Upgrade every chain to `revision`. On PostgreSQL, processes that call it at the same time take turns.

    A chain that a later release has migrated stays as it is. Raises `MigrationError` if a chain has unknown tables.
    """
    with exclusive(database) as connection:
        for chain in chains:
            is_later = is_ahead(connection, chain)
            connection.commit()  # ends the read transaction, which Alembic would otherwise join
            if not is_later:
                command.upgrade(chain.config(connection), revision)
                connection.commit()


def check(database: Database, chains: Sequence[Chain]) -> None:
    """Raise `MigrationError` if a chain's tables are missing, from an earlier release or unknown.

    Raises SQLAlchemy's `DBAPIError` or `TimeoutError` if the database is away or has no free connection.
    A later release's tables are accepted: migrations only expand, and this release may run beside it or after it.
    """
    with database.engine.execution_options(readonly=True).connect() as connection:
        for chain in chains:
            if not is_ahead(connection, chain) and current_revision(connection, chain) != newest_revision(chain):
                raise MigrationError(
                    f"the {chain.name} tables are missing or from an earlier release: run the migrate command"
                )


def is_ahead(connection: Connection, chain: Chain) -> bool:
    """Return True if a later release has migrated the chain. Raises `MigrationError` if its revision is foreign.

    The database stores only its newest revision, so the history before an unknown one cannot be read. But revisions
    are consecutive numbers: an unknown one that is not higher than the newest known one belongs to another history.
    """
    current = current_revision(connection, chain)
    if current is None or current in known_revisions(chain):
        return False
    newest = newest_revision(chain)
    if not current.isdecimal() or int(current) <= int(newest):
        raise MigrationError(
            f"the {chain.name} tables are at revision {current}, which this release does not know, and its own newest"
            f" revision is {newest}: check that DATABASE_URL is this service's, and that the release is the right one"
        )
    return True


@cache
def known_revisions(chain: Chain) -> Sequence[str]:
    """Return this release's revisions, oldest first. Alembic would import all their files at each readiness probe."""
    script = ScriptDirectory.from_config(chain.config())
    return tuple(revision.revision for revision in script.walk_revisions())[::-1]


def newest_revision(chain: Chain) -> str:
    """Return this release's newest revision of a chain."""
    return known_revisions(chain)[-1]


def current_revision(connection: Connection, chain: Chain) -> str | None:
    """Return the database's revision of a chain, or None before its first migration.

    The table is read with plain SQL. Alembic's own function makes a new table object each time, and the engine's cache
    would keep each one with its compiled statements.
    """
    if not inspect(connection).has_table(chain.version_table):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {chain.version_table}"))  # noqa: S608 - our own name
    return None if found is None else str(found)


def downgrade(database: Database, chain: Chain, revision: str = "base") -> None:
    """Downgrade a chain to `revision`. What the later revisions added is deleted."""
    with exclusive(database) as connection:
        command.downgrade(chain.config(connection), revision)
        connection.commit()


def new_revision(database: Database, chain: Chain, message: str) -> None:
    """Write the file of a chain's next revision: the difference between its tables in the database and its models."""
    with exclusive(database) as connection:
        config = chain.config(connection)
        heads = sorted(path.name[:4] for path in chain.versions.glob("[0-9]*.py"))
        number = f"{int(heads[-1]) + 1:04d}" if heads else "0001"
        command.revision(config, message, autogenerate=True, rev_id=number, version_path=str(chain.versions))


def statements(chain: Chain, start: str, end: str) -> str:
    """Return the SQL that moves a chain on PostgreSQL from one revision to another, in either direction.

    `base` is before the first revision.
    """
    written = StringIO()
    config = chain.config()
    config.output_buffer = written
    order = ["base", *known_revisions(chain)]
    run = command.upgrade if order.index(start) < order.index(end) else command.downgrade
    run(config, f"{start}:{end}", sql=True)
    return f"{TIMEOUTS};\n\n{written.getvalue()}"


@contextmanager
def exclusive(database: Database) -> Iterator[Connection]:
    """Yield a connection with the timeouts of migrations. On PostgreSQL no other process migrates meanwhile."""
    with database.engine.connect() as connection:
        if not database.is_postgresql:
            yield connection
            return
        assert isinstance(connection.connection.driver_connection, BoundedConnection)  # noqa: S101 - for the type checker
        connection.connection.driver_connection.answer_timeout_s = ANSWER_TIMEOUT_S
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.execute(text(f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT}'"))
        connection.commit()
        # Not pg_advisory_lock: an index that is built concurrently waits for all statements, also for one that waits.
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
            connection.commit()
            time.sleep(LOCK_POLL_S)
        connection.execute(text(TIMEOUTS))
        connection.commit()
        try:
            yield connection
        finally:
            if not connection.invalidated:  # a lost session has lost its lock, too
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
                connection.commit()
            connection.invalidate()  # the pool must not reuse a connection with these timeouts
