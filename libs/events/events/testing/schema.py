"""Comparison of a database's tables with the models."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from events.database.engine import Database
from events.database.migrations import Chain


def schema_differences(database: Database, chain: Chain) -> list[Any]:
    """Return the changes that Alembic would make to the chain's tables so that they match its models; [] if they match.

    Each query is a transaction of its own: a comparison on a busy machine takes longer than a transaction may be idle.
    """

    def is_own(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in chain.metadata.tables

    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_own})
        return list(compare_metadata(context, chain.metadata))
