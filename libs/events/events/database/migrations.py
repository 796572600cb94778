"""Alembic migrations, driven by code: each chain of revisions has its own version table in its service's database.

The library's inbox and outbox are separate chains. So a new release of the library migrates every service in the same
way, and a service's revisions concern only the service's tables.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

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


def migrate(database: Database, chains: Sequence[Chain], revision: str = "head") -> None:
    """Upgrade every chain to `revision`. On PostgreSQL, processes that call it at the same time take turns."""
    with _exclusive(database) as connection:
        for chain in chains:
            command.upgrade(chain.config(connection), revision)
            connection.commit()  # ends Alembic's read transaction, which the next chain would otherwise join


def check(database: Database, chains: Sequence[Chain]) -> None:
    """Raise `RuntimeError` if a chain's tables are missing or from an earlier release.

    Raises SQLAlchemy's `DBAPIError` or `TimeoutError` if the database is away or has no free connection.
    A later release's tables are accepted: migrations only expand, and this release may run beside it or after it.
    """
    with database.engine.execution_options(readonly=True).connect() as connection:
        for chain in chains:
            revisions, current = _revisions(chain), _current_heads(connection, chain)
            if current <= revisions.known and current != revisions.heads:
                raise RuntimeError(
                    f"the {chain.name} tables are missing or from an earlier release: run the migrate command"
                )


class _Revisions(NamedTuple):
    known: frozenset[str]
    heads: frozenset[str]


@cache
def _revisions(chain: Chain) -> _Revisions:
    """Return this release's revisions. Alembic would import all their files at each probe of the readiness."""
    script = ScriptDirectory.from_config(chain.config())
    known = frozenset(revision.revision for revision in script.walk_revisions())
    return _Revisions(known, frozenset(script.get_heads()))


def _current_heads(connection: Connection, chain: Chain) -> set[str]:
    """Return the database's revisions. It is empty before the first migration.

    The table is read with plain SQL. Alembic's own function makes a new table object each time, and the engine's cache
    would keep each one with its compiled statements.
    """
    if not inspect(connection).has_table(chain.version_table):
        return set()
    return set(connection.scalars(text(f"SELECT version_num FROM {chain.version_table}")))  # noqa: S608 - our own name


def downgrade(database: Database, chain: Chain, revision: str = "base") -> None:
    """Downgrade a chain to `revision`."""
    with _exclusive(database) as connection:
        command.downgrade(chain.config(connection), revision)
        connection.commit()


def new_revision(database: Database, chain: Chain, message: str) -> None:
    """Write the file of a chain's next revision: the difference between its tables in the database and its models."""
    with _exclusive(database) as connection:
        config = chain.config(connection)
        heads = sorted(path.name[:4] for path in chain.versions.glob("[0-9]*.py"))
        number = f"{int(heads[-1]) + 1:04d}" if heads else "0001"
        command.revision(config, message, autogenerate=True, rev_id=number, version_path=str(chain.versions))


@contextmanager
def _exclusive(database: Database) -> Iterator[Connection]:
    with database.engine.connect() as connection:
        if not database.is_postgresql:
            yield connection
            return
        assert isinstance(connection.connection.driver_connection, BoundedConnection)  # noqa: S101 - for the type checker
        connection.connection.driver_connection.answer_timeout_s = ANSWER_TIMEOUT_S
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        # Not pg_advisory_lock: an index that is built concurrently waits for all statements, also for one that waits.
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}):
            connection.commit()
            time.sleep(LOCK_POLL_S)
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.commit()
            connection.invalidate()  # the pool must not reuse a connection with these timeouts
