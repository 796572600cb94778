from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from events.database.migrations import downgrade, migrate
from events.testing.fixtures import MakeDatabase
from inventory.models import CHAINS
from sqlalchemy import inspect

[*_, CHAIN] = CHAINS


def test_migrations_lead_to_the_models(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    ours = set(CHAIN.metadata.tables)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in ours}
        )
        assert compare_metadata(context, CHAIN.metadata) == []


def test_up_down_up(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    downgrade(database, CHAIN)
    assert not set(CHAIN.metadata.tables) & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert set(CHAIN.metadata.tables) <= set(inspect(database.engine).get_table_names())
