from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from events.migrations import downgrade, migrate
from notifications.models import CHAINS, Base
from sqlalchemy import inspect

CHAIN = CHAINS[-1]


def _is_ours(name, kind, parents):
    return kind != "table" or name in Base.metadata.tables


def test_migrations_lead_to_the_models(any_database):
    database = any_database(CHAINS)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours})
        assert compare_metadata(context, Base.metadata) == []


def test_up_down_up(any_database):
    database = any_database(CHAINS)
    downgrade(database, CHAIN)
    assert not set(Base.metadata.tables) & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert set(Base.metadata.tables) <= set(inspect(database.engine).get_table_names())
