"""Alembic's entry: runs one chain on the connection that `events.migrations` hands over, a transaction a revision."""

from alembic import context

chain = context.config.attributes["chain"]
connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=chain.metadata,
    version_table=chain.version_table,
    transaction_per_migration=True,
    render_as_batch=connection.dialect.name == "sqlite",
    include_name=lambda name, kind, _parents: kind != "table" or name in chain.metadata.tables,
)
with context.begin_transaction():
    context.run_migrations()
