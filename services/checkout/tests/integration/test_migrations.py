"""The migrations create exactly the models' tables, and can be reverted."""

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from checkout.chains import CHAINS
from events.database.migrations import downgrade, migrate
from sqlalchemy import inspect


def test_migrations_create_the_models_and_can_be_reverted(any_database: Any) -> None:
    database, chain = any_database(CHAINS), CHAINS[-1]
    tables = set(chain.metadata.tables)
    with database.engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in tables, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, chain.metadata) == []
    downgrade(database, chain)
    assert not tables & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert tables <= set(inspect(database.engine).get_table_names())
