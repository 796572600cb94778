"""The library's migrations, and how indexes are built while a service works."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from events.database.engine import Database
from events.database.indexes import VALID
from events.database.migrations import Chain, check, downgrade, migrate
from events.messaging.chains import INBOX, OUTBOX
from events.testing.fixtures import MakeDatabase
from events.testing.schema import schema_differences
from sqlalchemy import text

INDEX = "ix_outbox_published_at"


@pytest.mark.parametrize("chain", [INBOX, OUTBOX], ids=lambda chain: chain.name)
def test_library_models_and_migrations_agree(any_database: MakeDatabase, chain: Chain) -> None:
    database = any_database([chain])
    downgrade(database, chain)
    migrate(database, [chain])
    assert schema_differences(database, chain) == []


def is_valid(database: Database) -> bool:
    with database.read() as session:
        return bool(session.scalar(VALID, {"name": INDEX}))


def test_interrupted_index_is_replaced(new_postgres_url: Callable[..., str]) -> None:
    database = Database(new_postgres_url())
    migrate(database, [OUTBOX], "0001")
    with database.begin() as session:
        session.execute(text(f"CREATE INDEX {INDEX} ON outbox (published_at)"))
        invalid = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)")
        session.execute(invalid, {"name": INDEX})
    assert not is_valid(database)
    migrate(database, [OUTBOX])
    assert is_valid(database)
    database.dispose()


def test_concurrent_migrations_build_indexes_once(new_postgres_url: Callable[..., str]) -> None:
    """A process that waits in a statement for the lock would make an index wait for it, and both would deadlock."""
    url = new_postgres_url()
    databases = [Database(url) for _ in range(3)]
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(lambda database: migrate(database, [INBOX, OUTBOX]), databases))
    check(databases[0], [INBOX, OUTBOX])
    for database in databases:
        database.dispose()


def test_index_waits_for_a_long_transaction(new_postgres_url: Callable[..., str]) -> None:
    database = Database(new_postgres_url())
    migrate(database, [INBOX], "0001")
    with ThreadPoolExecutor(1) as pool:
        with database.begin() as session:
            session.execute(text("LOCK TABLE inbox IN ROW EXCLUSIVE MODE"))
            migrating = pool.submit(migrate, database, [INBOX])
            session.execute(text("SELECT pg_sleep(5.5)"))  # longer than the lock timeout of migrations
            assert not migrating.done()
        migrating.result(timeout=30)
    check(database, [INBOX])
    database.dispose()


def test_repeated_check_leaves_nothing_in_memory(any_database: MakeDatabase) -> None:
    """Every probe of a web process's readiness checks the tables, for months."""
    database = any_database([INBOX, OUTBOX])
    checks = 20

    def count_objects() -> int:
        counts = []
        for _ in range(3):  # weak references come and go; the smallest count has none
            for _ in range(checks):
                check(database, [INBOX, OUTBOX])
            gc.collect()
            counts.append(len(gc.get_objects()))
        return min(counts)

    count_objects()
    before = count_objects()
    assert count_objects() - before < checks
