"""The migrations create exactly the models' tables, and can be reverted."""

from typing import Any

from checkout.chains import CHAINS
from events.database.migrations import downgrade, migrate
from events.testing.schema import schema_differences
from sqlalchemy import inspect


def test_migrations_create_the_models_and_can_be_reverted(any_database: Any) -> None:
    database, chain = any_database(CHAINS), CHAINS[-1]
    tables = set(chain.metadata.tables)
    assert schema_differences(database, chain) == []
    downgrade(database, chain)
    assert not tables & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert tables <= set(inspect(database.engine).get_table_names())
