"""Work that a transaction does once for all of its events: row locks and deferred writes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from events.database import notify, transaction
from events.database.engine import Database
from events.messaging.chains import INBOX
from events.messaging.inbox_models import ConsumerControl
from events.testing.fixtures import MakeDatabase
from prometheus_client import Counter
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session


@pytest.fixture
def controls(any_database: MakeDatabase) -> Database:
    """Return a database with rows 1 and 2 in a table that nothing else uses here."""
    made = any_database((INBOX,))
    with made.begin() as session:
        session.add_all([ConsumerControl(id=1, paused=False), ConsumerControl(id=2, paused=False)])
    return made


@contextmanager
def record_statements(database: Database) -> Iterator[list[str]]:
    """Collect the SQL statements of a block."""
    recorded: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        recorded.append(statement)

    event.listen(database.engine, "before_cursor_execute", record)
    yield recorded
    event.remove(database.engine, "before_cursor_execute", record)


def count_rows(database: Database) -> int:
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(ConsumerControl)).one()


def test_rows_locked_ahead_are_not_queried_again(controls: Database) -> None:
    with controls.begin() as session:
        assert transaction.lock_rows(session, ConsumerControl, [2, 1, 3]).keys() == {1, 2}
        with record_statements(controls) as statements:
            found = transaction.lock_rows(session, ConsumerControl, [1])
    assert found[1].id == 1
    assert statements == []


def test_lock_refreshes_rows_that_were_read_before(controls: Database) -> None:
    with controls.begin() as session:
        before = session.get_one(ConsumerControl, 1)
        change = update(ConsumerControl).values(paused=True)
        session.execute(change, execution_options={"synchronize_session": False})
        assert not before.paused
        assert transaction.lock_rows(session, ConsumerControl, [1])[1].paused


def test_locked_row_is_locked_for_other_transactions(postgres_database: MakeDatabase) -> None:
    shared = postgres_database((INBOX,))
    with shared.begin() as session:
        session.add(ConsumerControl(id=1, paused=False))
    with shared.begin() as one, shared.begin() as other:
        transaction.lock_rows(one, ConsumerControl, [1])
        free = select(ConsumerControl.id)
        assert other.scalars(transaction.skip_locked(other, free)).all() == []


def test_deferred_inserts_run_together_before_deferred_calls(controls: Database) -> None:
    calls: list[tuple[Sequence[int], int]] = []

    def count(session: Session, items: Sequence[int]) -> None:
        calls.append((items, session.scalars(select(func.count()).select_from(ConsumerControl)).one()))

    with controls.begin() as session, record_statements(controls) as statements:
        transaction.before_commit(session, count, 10)
        for key in (2, 3, 4):
            transaction.defer_insert(session, ConsumerControl, id=key, paused=False)
        transaction.before_commit(session, count, 20)
        transaction.flush_deferred(session)
    assert calls == [([10, 20], 4)]
    assert sum(statement.startswith("INSERT") for statement in statements) == 1


def test_inserts_deferred_by_a_deferred_call_are_written(controls: Database) -> None:
    def insert(session: Session, keys: Sequence[int]) -> None:
        for key in keys:
            transaction.defer_insert(session, ConsumerControl, id=key, paused=False)

    with controls.begin() as session:
        transaction.before_commit(session, insert, 3)
    assert count_rows(controls) == 3


def test_failed_transaction_discards_deferred_inserts(controls: Database) -> None:
    def fail() -> None:
        with controls.begin() as session:
            transaction.defer_insert(session, ConsumerControl, id=3, paused=False)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert count_rows(controls) == 2


def test_savepoint_undoes_only_its_own_deferred_inserts(controls: Database) -> None:
    def fail(session: Session) -> None:
        with transaction.savepoint(session):
            transaction.defer_insert(session, ConsumerControl, id=4, paused=False)
            raise RuntimeError

    with controls.begin() as session:
        transaction.defer_insert(session, ConsumerControl, id=3, paused=False)
        with pytest.raises(RuntimeError):
            fail(session)
        with transaction.savepoint(session):
            transaction.defer_insert(session, ConsumerControl, id=5, paused=False)
    with controls.read() as session:
        assert set(session.scalars(select(ConsumerControl.id))) == {1, 2, 3, 5}


def test_signals_and_counters_wait_for_the_commit(controls: Database) -> None:
    counter = Counter("clozit_transaction_tests_total", "Used only by this test", registry=None)
    with controls.begin() as session:
        with transaction.savepoint(session):
            notify.wake_after_commit(session, "outbox")
            notify.increment_after_commit(session, counter)
        assert not controls.signal("outbox").wait(0)
        assert counter._value.get() == 0
    assert controls.signal("outbox").wait(0)
    assert counter._value.get() == 1


def test_undone_savepoint_wakes_and_counts_nothing(controls: Database) -> None:
    counter = Counter("clozit_transaction_tests_total", "Used only by this test", registry=None)

    def fail(session: Session) -> None:
        with transaction.savepoint(session):
            notify.wake_after_commit(session, "outbox")
            notify.increment_after_commit(session, counter)
            raise RuntimeError

    with controls.begin() as session:
        notify.increment_after_commit(session, counter)
        with pytest.raises(RuntimeError):
            fail(session)
    assert not controls.signal("outbox").wait(0)
    assert counter._value.get() == 1


def test_inserted_row_is_complete_and_counts_as_locked(controls: Database) -> None:
    with controls.begin() as session, record_statements(controls) as statements:
        row = transaction.insert_new(session, ConsumerControl, by=ConsumerControl.id, id=3, paused=True)
        assert row is not None
        assert (row.id, row.paused) == (3, True)
        assert transaction.lock_rows(session, ConsumerControl, [3]) == {3: row}
        row.paused = False
        session.flush()
    words = [statement.split()[0] for statement in statements]
    assert [word for word in words if word not in ("BEGIN", "PRAGMA")] == ["INSERT", "UPDATE"]
    with controls.read() as session:
        assert not session.get_one(ConsumerControl, 3).paused


def test_existing_row_is_not_inserted_again(controls: Database) -> None:
    with controls.begin() as session:
        assert transaction.insert_new(session, ConsumerControl, by=ConsumerControl.id, id=1, paused=True) is None
        assert not transaction.lock_rows(session, ConsumerControl, [1])[1].paused


def test_row_of_a_failed_savepoint_can_be_inserted_again(controls: Database) -> None:
    inserted: list[ConsumerControl | None] = []

    def insert(session: Session, paused: bool) -> None:
        inserted.append(transaction.insert_new(session, ConsumerControl, by=ConsumerControl.id, id=3, paused=paused))

    def insert_and_fail(session: Session) -> None:
        with transaction.savepoint(session):
            insert(session, True)
            raise LookupError

    with controls.begin() as session:
        with pytest.raises(LookupError):
            insert_and_fail(session)
        insert(session, False)
    first, second = inserted
    assert second is not None
    assert second is not first
    with controls.read() as session:
        assert not session.get_one(ConsumerControl, 3).paused
