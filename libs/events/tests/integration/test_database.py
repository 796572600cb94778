"""The database layer, on PostgreSQL and on SQLite."""

from pathlib import Path

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.database.migrations import check, migrate
from events.database.transaction import insert_once
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.inbox_models import ConsumerControl, InboxEvent
from events.testing.fixtures import MakeDatabase
from sqlalchemy import insert, select, update


def test_insert_once_returns_true_for_the_first_insert(any_database: MakeDatabase) -> None:
    database = any_database((INBOX,))
    with database.begin() as session:
        assert insert_once(session, ConsumerControl, id=1, paused=False)
        assert not insert_once(session, ConsumerControl, id=1, paused=True)
    with database.read() as session:
        assert [row.paused for row in session.scalars(select(ConsumerControl))] == [False]


def test_failed_transaction_writes_nothing(any_database: MakeDatabase) -> None:
    database = any_database((INBOX,))

    def fail_late() -> None:
        with database.begin() as session:
            session.add(ConsumerControl(id=1, paused=False))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()
    with database.read() as session:
        assert session.scalars(select(ConsumerControl)).all() == []


def test_autocommitted_statements_outlive_a_later_failure(any_database: MakeDatabase) -> None:
    database = any_database((INBOX,))

    def fail_late() -> None:
        with database.autocommit() as execute:
            execute(insert(ConsumerControl), {"id": 1, "paused": False})
            execute(update(ConsumerControl).values(paused=True), {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()
    with database.begin() as session:  # the pooled connection is transactional again
        assert [row.paused for row in session.scalars(select(ConsumerControl))] == [True]
        session.execute(update(ConsumerControl).values(paused=False))
        session.rollback()
    with database.read() as session:
        assert [row.paused for row in session.scalars(select(ConsumerControl))] == [True]


def test_instants_are_read_in_utc(any_database: MakeDatabase) -> None:
    database = any_database((INBOX,))
    now = utcnow()
    row = InboxEvent(
        event_id="evt_1", routing_key="a", source="b", occurred_at=now, received_at=now, status="done", attempts=1
    )
    with database.begin() as session:
        session.add(row)
    with database.read() as session:
        assert session.scalars(select(InboxEvent.occurred_at)).one() == now


def test_database_without_migrations_is_not_ready(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(RuntimeError, match="run the migrate command"):
        check(database, (INBOX, OUTBOX))
    migrate(database, (INBOX, OUTBOX))
    check(database, (INBOX, OUTBOX))
    database.dispose()
