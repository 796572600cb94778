"""The migrations make exactly the models' tables, and can be reverted."""

import pytest
from events.database.engine import Database
from events.database.migrations import downgrade, migrate
from events.testing.fixtures import MakeDatabase
from events.testing.schema import schema_differences
from orders.chains import CHAINS
from orders.models.base import Base
from sqlalchemy import CheckConstraint, inspect


@pytest.fixture
def migrated(any_database: MakeDatabase) -> Database:
    """A database that was migrated, reverted and migrated again."""
    database = any_database(CHAINS)
    downgrade(database, CHAINS[-1])
    assert not set(inspect(database.engine).get_table_names()) & set(Base.metadata.tables)
    migrate(database, CHAINS)
    return database


def test_models_and_migrations_agree(migrated: Database) -> None:
    assert schema_differences(migrated, CHAINS[-1]) == []


def test_check_constraints_of_migrations_agree(migrated: Database) -> None:
    """Alembic does not compare them. On PostgreSQL each text is parsed and printed by the server, on SQLite kept."""
    for name, table in Base.metadata.tables.items():
        stored = {
            str(check["name"]): check["sqltext"] for check in inspect(migrated.engine).get_check_constraints(name)
        }
        expected = {
            str(constraint.name): str(constraint.sqltext)
            for constraint in table.constraints
            if isinstance(constraint, CheckConstraint)
        }
        assert stored.keys() == expected.keys(), name
        if not migrated.is_postgresql:
            assert stored == expected, name
