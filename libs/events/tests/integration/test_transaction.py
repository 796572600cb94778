"""What a transaction does once for all of its events."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from events.database import notify, transaction
from events.database.engine import Database
from events.messaging.chains import INBOX
from events.messaging.inbox_models import ConsumerControl
from events.testing.fixtures import MakeDatabase
from prometheus_client import Counter
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session


@pytest.fixture
def controls(any_database: MakeDatabase) -> Database:
    """Rows 1 and 2, of a table with which nothing else is done here."""
    made = any_database((INBOX,))
    with made.begin() as session:
        session.add_all([ConsumerControl(id=1, paused=False), ConsumerControl(id=2, paused=False)])
    return made


@contextmanager
def statements(counted: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(counted.engine, "before_cursor_execute", see)
    yield seen
    event.remove(counted.engine, "before_cursor_execute", see)


def rows(of: Database) -> int:
    with of.read() as session:
        return session.scalars(select(func.count()).select_from(ConsumerControl)).one()


def test_rows_locked_ahead_are_not_asked_for_again(controls: Database) -> None:
    with controls.begin() as session:
        assert transaction.lock_rows(session, ConsumerControl, [2, 1, 3]).keys() == {1, 2}
        with statements(controls) as seen:
            found = transaction.lock_rows(session, ConsumerControl, [1])
    assert found[1].id == 1
    assert seen == []


def test_locked_rows_are_as_they_stand_now(controls: Database) -> None:
    with controls.begin() as session:
        before = session.get_one(ConsumerControl, 1)
        session.execute(ConsumerControl.__table__.update().values(paused=True))
        assert not before.paused
        assert transaction.lock_rows(session, ConsumerControl, [1])[1].paused


def test_locked_rows_are_waited_for(postgres_database: MakeDatabase) -> None:
    shared = postgres_database((INBOX,))
    with shared.begin() as session:
        session.add(ConsumerControl(id=1, paused=False))
    with shared.begin() as one, shared.begin() as other:
        transaction.lock_rows(one, ConsumerControl, [1])
        free = select(ConsumerControl.id)
        assert other.scalars(transaction.skip_locked(other, free)).all() == []


def test_gathered_rows_are_written_in_one_statement_before_what_was_gathered_is_done(controls: Database) -> None:
    done: list[tuple[Sequence[int], int]] = []

    def look(session: Session, items: Sequence[int]) -> None:
        done.append((items, session.scalars(select(func.count()).select_from(ConsumerControl)).one()))

    with controls.begin() as session, statements(controls) as seen:
        transaction.before_commit(session, look, 10)
        for key in (2, 3, 4):
            transaction.defer_insert(session, ConsumerControl, id=key, paused=False)
        transaction.before_commit(session, look, 20)
        transaction.flush_deferred(session)
    assert done == [([10, 20], 4)]
    assert sum(statement.startswith("INSERT") for statement in seen) == 1


def test_what_is_gathered_while_it_is_done_is_done_too(controls: Database) -> None:
    def insert(session: Session, keys: Sequence[int]) -> None:
        for key in keys:
            transaction.defer_insert(session, ConsumerControl, id=key, paused=False)

    with controls.begin() as session:
        transaction.before_commit(session, insert, 3)
    assert rows(controls) == 3


def test_block_that_raises_writes_nothing_that_it_gathered(controls: Database) -> None:
    def fail() -> None:
        with controls.begin() as session:
            transaction.defer_insert(session, ConsumerControl, id=3, paused=False)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert rows(controls) == 2


def test_savepoint_undoes_what_its_block_gathered_and_nothing_else(controls: Database) -> None:
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


def test_nobody_is_woken_or_counted_before_the_commit(controls: Database) -> None:
    counter = Counter("clozit_batch_tests_total", "Of this test alone", registry=None)
    with controls.begin() as session:
        with transaction.savepoint(session):
            notify.wake_after_commit(session, "outbox")
            notify.increment_after_commit(session, counter)
        assert not controls.signal("outbox").wait(0)
        assert counter._value.get() == 0
    assert controls.signal("outbox").wait(0)
    assert counter._value.get() == 1


def test_savepoint_that_is_undone_wakes_and_counts_nothing(controls: Database) -> None:
    counter = Counter("clozit_batch_tests_total", "Of this test alone", registry=None)

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
