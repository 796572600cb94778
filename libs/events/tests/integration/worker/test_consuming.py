"""A worker that is paused, idle, notified, cut off or without its database."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.messaging import consumer, deliveries, inbox, worker
from events.messaging.consumer import Consumer
from events.messaging.inbox_models import InboxEvent
from events.messaging.loops import Job
from events.messaging.worker import Worker
from events.operations import inbox as inbox_operations
from events.testing.waiting import wait_until
from kombu import Message
from sqlalchemy import event as listener
from sqlalchemy import update

from libs.events.tests.integration.worker.observed import canceled, count_consumers, depth, effects, is_listening, rows


def test_paused_worker_consumes_only_after_it_is_resumed(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    start()
    wait_until(lambda: count_consumers(broker_url) == 1, 30)
    with database.begin() as session:
        inbox_operations.set_paused(session, True, actor="ops", reason="test")
    wait_until(lambda: count_consumers(broker_url) == 0, 30)
    publish(canceled(1))
    assert depth(broker_url, "orders") == 1
    with database.begin() as session:
        inbox_operations.set_paused(session, False, actor="ops", reason="test")
    wait_until(lambda: effects(database) == ["chk_1"], 30)


def test_consumer_that_its_node_dropped_reconnects(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was cut off from its cluster keeps the connection open and delivers nothing."""
    monkeypatch.setattr(consumer, "SILENCE_LIMIT_S", 0.2)
    connections = []

    def get_consumers(self: Consumer, make: Any, channel: Any) -> list[Any]:
        connections.append(channel)
        return [] if len(connections) == 1 else original(self, make, channel)

    original = Consumer.get_consumers
    monkeypatch.setattr(Consumer, "get_consumers", get_consumers)
    start()
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    assert len(connections) == 2


def test_idle_consumer_of_an_empty_queue_stays_connected(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SILENCE_LIMIT_S", 0.0)
    calls: Counter[str] = Counter()

    def count_calls(name: str) -> None:
        original = getattr(Consumer, name)

        def counted(*args: Any) -> Any:
            calls[name] += 1
            return original(*args)

        monkeypatch.setattr(Consumer, name, counted)

    count_calls("get_consumers")
    count_calls("_ask_next_node_for_messages")
    start()
    wait_until(lambda: calls["_ask_next_node_for_messages"] >= 3, 30)
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    assert calls["get_consumers"] == 1


def test_database_away_holds_messages_until_it_is_back(
    publish: Callable[..., None],
    start: Callable[..., Worker],
    database: Database,
    broker_url: str,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psycopg

    redelivered: list[bool] = []
    original = deliveries.is_redelivered

    def record(message: Message) -> bool:
        redelivered.append(original(message))
        return redelivered[-1]

    monkeypatch.setattr(deliveries, "is_redelivered", record)
    name = database.engine.url.database
    start()
    publish(canceled(1))
    wait_until(lambda: effects(database) == ["chk_1"], 30)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        publish(canceled(2))
        wait_until(lambda: depth(broker_url, "orders") == 0, 30)  # delivered, not acknowledged
        publish(canceled(3), canceled(4))
        wait_until(lambda: depth(broker_url, "orders") == 0, 30)  # these arrive while the first is held
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2", "chk_3", "chk_4"], 30)
    assert rows(database, "retrying") == []
    assert not any(redelivered)  # each requeue would use up the delivery limit


def test_idle_worker_queries_less_than_once_a_second(
    start: Callable[..., Worker], database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loop runs one query per poll, and all loops together poll less than once a second."""
    loops, polls = 3, 5  # retries, relay and a job, as the services have them
    assert 1 / worker.RETRY_POLL_S + 1 / worker.RELAY_POLL_S + 1 / 5 < 1
    for name in ("RETRY_POLL_S", "RELAY_POLL_S"):
        monkeypatch.setattr(worker, name, 0.5)
    start(jobs=[Job("sweep", 0.5, database.ping)])
    wait_until(lambda: count_consumers(broker_url) == 1 and is_listening(database), 30)
    statements: list[str] = []
    listener.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    wait_until(lambda: sum("min(inbox" in statement for statement in statements) >= polls, 30)
    queries = Counter(statement.split("FROM")[-1].split()[0] for statement in statements)
    assert sum(queries.values()) <= loops * (polls + 1), queries


def test_operator_retry_runs_at_once(
    start: Callable[..., Worker], database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, here another engine, notifies the worker; no event was due and no poll was near."""
    monkeypatch.setattr(worker, "RETRY_POLL_S", 3600.0)
    with database.begin() as session:
        inbox.store_unhandled(session, canceled(1), "retrying", ValueError("defect"))
        session.execute(update(InboxEvent).values(next_attempt_at=utcnow() + timedelta(hours=1)))
    start()
    wait_until(lambda: count_consumers(broker_url) == 1, 30)
    wait_until(lambda: is_listening(database), 30)
    other = Database(database.engine.url.render_as_string(hide_password=False))
    with other.begin() as session:
        inbox_operations.apply_action(
            session, "retry", [row.event_id for row in rows(database, "retrying")], actor="ops", reason=None
        )
    other.dispose()
    wait_until(lambda: effects(database) == ["chk_1"], 30)


def test_failing_job_runs_again(start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FAILURE_PAUSE_S", 0.01)
    ran: list[int] = []

    def fail() -> None:
        ran.append(1)
        raise RuntimeError("each time")

    start(jobs=[Job("fail", 0.01, fail)])
    wait_until(lambda: len(ran) > 2, 30)
