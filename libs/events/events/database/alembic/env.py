"""Alembic's entry point: runs one chain on the given connection, with a transaction per revision.

Without a connection, it writes the statements for PostgreSQL instead of running them.
"""

from typing import Literal

from alembic import context
from events.database.types import UtcDateTime


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Return the source text of the project's own column types in a new revision; False leaves others to Alembic."""
    return "UtcDateTime()" if kind == "type" and isinstance(item, UtcDateTime) else False


chain = context.config.attributes["chain"]
connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    dialect_name=None if connection else "postgresql",
    target_metadata=chain.metadata,
    version_table=chain.version_table,
    transaction_per_migration=True,
    render_item=render_item,
    include_name=lambda name, kind, _parents: kind != "table" or name in chain.metadata.tables,
)
with context.begin_transaction():
    context.run_migrations()
