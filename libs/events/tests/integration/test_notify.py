"""Notifications between processes: after the commit, and few of them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from events.database.engine import Database
from events.database.notify import NOTIFY_PAUSE_S, Notifier
from events.messaging import outbox
from events.messaging.chains import OUTBOX
from events.observability.logging import configure_logging
from events.testing.fixtures import MakeDatabase
from sqlalchemy import create_engine, event

COMMAND = """
import sys
from events.database.engine import Database
from events.messaging import outbox

with Database(sys.argv[1]).begin() as session:
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    outbox.add(session, "checkout.checkout.canceled", data, correlation_id="chk_1")
"""


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    return postgres_database([OUTBOX])


@pytest.fixture
def listening(database: Database) -> Iterator["psycopg.Connection[Any]"]:
    """A connection that listens for the outbox."""
    with psycopg.connect(url_of(database), autocommit=True) as connection:
        connection.execute(f"LISTEN {outbox.CHANNEL}")
        yield connection


def url_of(database: Database) -> str:
    return database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def add_to_outbox(database: Database) -> None:
    with database.begin() as session:
        data = {"checkout_id": "chk_1", "session_id": "cs_1"}
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id="chk_1")


def statements_by_transaction(database: Database) -> list[list[str]]:
    """Return a list that gets the statements of each transaction, as they run."""
    transactions: list[list[str]] = []
    event.listen(database.engine, "begin", lambda _: transactions.append([]))
    event.listen(database.engine, "before_cursor_execute", lambda *args: transactions[-1].append(args[2]))
    return transactions


def test_commit_with_outbox_rows_has_no_notify_in_it(database: Database) -> None:
    """Otherwise it would hold a lock of the whole cluster until it is on the disk and on the replica."""
    with psycopg.connect(url_of(database)) as connection:
        triggers = connection.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'outbox'::regclass AND NOT tgisinternal"
        ).fetchall()
    assert triggers == []
    transactions = statements_by_transaction(database)
    add_to_outbox(database)
    database.dispose()
    [inserting] = [found for found in transactions if any("INSERT INTO outbox" in each for each in found)]
    [notifying] = [found for found in transactions if any("pg_notify" in each for each in found)]
    assert inserting is not notifying


def test_many_commits_send_few_notifications(database: Database) -> None:
    transactions, start, commits = statements_by_transaction(database), time.monotonic(), 0
    while time.monotonic() - start < 10 * NOTIFY_PAUSE_S or commits < 30:
        add_to_outbox(database)
        commits += 1
    database.dispose()
    sent = sum("pg_notify" in statement for statements in transactions for statement in statements)
    assert 1 <= sent <= (time.monotonic() - start) / NOTIFY_PAUSE_S + 2


def test_commit_after_a_pause_notifies_again(database: Database, listening: "psycopg.Connection[Any]") -> None:
    for _ in range(3):
        add_to_outbox(database)
        assert [found.channel for found in listening.notifies(timeout=10, stop_after=1)] == [outbox.CHANNEL]


def test_command_notifies_before_it_ends(database: Database, listening: "psycopg.Connection[Any]") -> None:
    subprocess.run([sys.executable, "-c", COMMAND, url_of(database)], check=True)
    assert [found.channel for found in listening.notifies(timeout=10, stop_after=1)] == [outbox.CHANNEL]


def test_notifier_continues_after_any_failure(database: Database, listening: "psycopg.Connection[Any]") -> None:
    engine, failures = create_engine(database.engine.url), ["the pool leads to pgbouncer"]

    def fail_once(*_: object) -> None:
        if failures:
            raise RuntimeError(failures.pop())

    event.listen(engine, "do_connect", fail_once)
    notifier = Notifier(engine)
    notifier.notify(outbox.CHANNEL)
    notifier.flush()
    notifier.notify(outbox.CHANNEL)
    assert [found.channel for found in listening.notifies(timeout=10, stop_after=1)] == [outbox.CHANNEL]
    notifier.close()
    engine.dispose()


@pytest.fixture
def logging_of_a_process() -> None:
    configure_logging("orders", "INFO")


def test_notification_without_a_server_is_only_logged(
    logging_of_a_process: None, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"))
    notifier.notify("outbox")
    notifier.close()
    assert "NOTIFY failed: other processes find the changes at their next poll" in caplog.text
