import re

from events.database.migrations import downgrade, migrate
from events.testing.fixtures import MakeDatabase
from events.testing.schema import schema_differences
from inventory.chains import CHAINS
from inventory.models import MovementKind, ReservationStatus
from sqlalchemy import inspect

[*_, CHAIN] = CHAINS
TABLES = set(CHAIN.metadata.tables)


def test_migrations_create_the_tables_of_the_models(any_database: MakeDatabase) -> None:
    assert schema_differences(any_database(CHAINS), CHAIN) == []


def test_migrated_checks_allow_exactly_the_enums_values(any_database: MakeDatabase) -> None:
    found = inspect(any_database(CHAINS).engine)

    def allowed(table: str, column: str) -> set[str]:
        checks = {check["name"]: check["sqltext"] for check in found.get_check_constraints(table)}
        return set(re.findall(r"'(\w+)'", checks[f"ck_{table}_{column}"]))

    assert allowed("reservations", "status") == {*ReservationStatus}
    assert allowed("movements", "kind") == {*MovementKind}


def test_downgrade_and_upgrade_restore_the_tables(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    downgrade(database, CHAIN)
    assert not TABLES & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert set(inspect(database.engine).get_table_names()) >= TABLES
