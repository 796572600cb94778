"""Indexes in migrations: built while the service works."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic import op
from sqlalchemy import text

from events.database.migrations import LOCK_TIMEOUT

VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def create_index(name: str, table: str, columns: Sequence[str], *, where: str | None = None, **options: Any) -> None:
    """Create an index in a migration, on PostgreSQL without blocking the writers of its table.

    PostgreSQL builds such an index in several transactions. An interrupted migration can be repeated: it keeps the
    indexes that are complete, and replaces one that is not. `where` makes the index partial.
    """
    condition = text(where) if where else None
    if not is_postgresql():
        op.create_index(name, table, columns, sqlite_where=condition, **options)
        return
    with _outside_transaction():
        if not op.get_context().as_sql and op.get_bind().scalar(VALID, {"name": name}):
            return
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, postgresql_where=condition, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index, on PostgreSQL without blocking its table.

    Another index must serve the queries of the previous release, which may still run.
    """
    if not is_postgresql():
        op.drop_index(name, table)
        return
    with _outside_transaction():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def is_postgresql() -> bool:
    """Return True if the running migration is for PostgreSQL."""
    return op.get_context().dialect.name == "postgresql"


@contextmanager
def _outside_transaction() -> Iterator[None]:
    """Run a block without a transaction and without a lock timeout: no other session waits behind its locks."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
