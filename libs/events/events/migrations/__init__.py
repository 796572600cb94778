"""Alembic, driven by code: each chain of revisions has its own version table in its service's database.

The library's inbox and outbox are chains of their own, so that a new release of the library migrates every service
alike and a service's revisions speak of the service's tables alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from events import inbox, outbox
from events.database import Database

LOCK_KEY = 0x636C6F7A  # "cloz": one migration at a time in a database
LOCK_TIMEOUT = "5s"  # DDL that must wait longer for its lock would stop the service's traffic behind it
STATEMENT_TIMEOUT = "10min"


@dataclass(frozen=True)
class Chain:
    """Revisions in `versions` that lead to the tables of `metadata`."""

    name: str
    metadata: MetaData
    versions: Path

    @property
    def version_table(self) -> str:
        return f"{self.name}_version"

    def config(self, connection: Connection) -> Config:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.set_main_option("version_locations", str(self.versions))
        config.set_main_option("path_separator", "newline")
        config.attributes.update(connection=connection, chain=self)
        return config


INBOX = Chain("inbox", inbox.Base.metadata, inbox.VERSIONS)
OUTBOX = Chain("outbox", outbox.Base.metadata, outbox.VERSIONS)


def migrate(database: Database, chains: Sequence[Chain], revision: str = "head") -> None:
    """Bring every chain up to `revision`; safe to run from several places at once."""
    with _exclusive(database) as connection:
        for chain in chains:
            command.upgrade(chain.config(connection), revision)
            connection.commit()  # ends what alembic only read; else the next chain would join that transaction


def check(database: Database, chains: Sequence[Chain]) -> None:
    """Raise `RuntimeError` unless the database is at this release's tables; raises what the driver raises."""
    with database.engine.execution_options(readonly=True).connect() as connection:
        for chain in chains:
            script = ScriptDirectory.from_config(chain.config(connection))
            context = MigrationContext.configure(connection, opts={"version_table": chain.version_table})
            if set(context.get_current_heads()) != set(script.get_heads()):
                raise RuntimeError(f"the tables of {chain.name} are not this release's: run the migrate command")


def downgrade(database: Database, chain: Chain, revision: str = "base") -> None:
    with _exclusive(database) as connection:
        command.downgrade(chain.config(connection), revision)
        connection.commit()


def new_revision(database: Database, chain: Chain, message: str) -> None:
    """Write the next revision of a chain: the difference between its tables in the database and its models."""
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
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.commit()
            connection.invalidate()  # its settings must not outlive the migration in the pool
