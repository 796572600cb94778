import re

from events.clock import utcnow
from events.database.migrations import downgrade, migrate
from events.testing.fixtures import MakeDatabase
from events.testing.schema import schema_differences
from notifications.chains import CHAINS
from notifications.kinds import CheckoutOutcome, Kind
from notifications.models import Email, EmailStatus
from sqlalchemy import func, inspect, select

[*_, CHAIN] = CHAINS
TABLES = set(CHAIN.metadata.tables)


def test_migrations_create_the_tables_of_the_models(any_database: MakeDatabase) -> None:
    assert schema_differences(any_database(CHAINS), CHAIN) == []


def test_migrated_checks_allow_exactly_the_enums_values(any_database: MakeDatabase) -> None:
    found = inspect(any_database(CHAINS).engine)

    def allowed(table: str, column: str) -> set[str]:
        checks = {check["name"]: check["sqltext"] for check in found.get_check_constraints(table)}
        return set(re.findall(r"'(\w+)'", checks[f"ck_{table}_{column}"]))

    assert allowed("emails", "status") == {*EmailStatus}
    assert allowed("checkouts", "outcome") == {*CheckoutOutcome}


def test_downgrade_and_upgrade_restore_the_tables(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    downgrade(database, CHAIN)
    assert not TABLES & set(inspect(database.engine).get_table_names())
    migrate(database, CHAINS)
    assert set(inspect(database.engine).get_table_names()) >= TABLES


def test_downgrade_drops_mails_that_refer_to_each_other(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    for name, resend_of in (("a", None), ("b", "a")):
        with database.begin() as session:
            session.add(
                Email(
                    id=name,
                    kind=Kind.STAFF_STOCK_LOW,
                    subject_key=name,
                    event_data={},
                    status=EmailStatus.SENT,
                    created_at=utcnow(),
                    resend_of=resend_of,
                )
            )
    downgrade(database, CHAIN)
    migrate(database, CHAINS)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Email)) == 0
