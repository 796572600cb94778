"""Retries of stored events: in batches, by several workers, each event once, even when one kills its worker."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.errors import Ignored, NotYet
from events.messaging import inbox, inbox_models
from events.messaging.chains import INBOX
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.operations import inbox as inbox_operations
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

# Starts a new worker process after each death, as an orchestrator would, until no event is due. Each death is a line.
ORCHESTRATOR = """
import os, sys
from datetime import timedelta
from events.database.engine import Database
from events.messaging import inbox_models
from events.messaging.handlers import Handlers
from events.messaging.runner import Runner
from sqlalchemy import text

inbox_models.RETRY_DELAYS = (timedelta(0),) * 3
inbox_models.CLAIM_LEASE = timedelta(0)
handlers = Handlers()

@handlers.on("checkout.checkout.canceled")
def record(event, session):
    session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})
    if event.id == "evt_7":
        os._exit(9)

while True:
    child = os.fork()
    if child == 0:
        Runner(Database(sys.argv[1]), handlers).retry_due()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), file=sys.stderr, flush=True)
    if status == 0:
        break
"""


@pytest.fixture
def handlers() -> Handlers:
    registry = Handlers()

    @registry.on("checkout.checkout.canceled")
    def record(event: Event, session: Session) -> None:
        session.execute(text("INSERT INTO effects VALUES (:id)"), {"id": event.id})
        match event.id:
            case "evt_ignored":
                raise Ignored("not ours")
            case "evt_waiting":
                raise NotYet("no order yet")
            case "evt_broken":
                session.execute(text("SELECT * FROM nowhere"))

    return registry


def store_backlog(database: Database, ids: list[str]) -> Database:
    """Store these events after one failed attempt, all due, and return the database."""
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    with database.begin() as session:
        session.execute(text("CREATE TABLE effects (event_id text)"))
        for event_id in ids:
            event = own_event("checkout.checkout.canceled", data, event_id=event_id)
            inbox.store_unhandled(session, event, inbox_models.RETRYING, ValueError("defect"))
        session.execute(update(InboxEvent).values(next_attempt_at=utcnow() - timedelta(minutes=1)))
    return database


def effects(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(text("SELECT event_id FROM effects")))


def read_rows(database: Database, *event_ids: str) -> list[InboxEvent]:
    with database.read() as session:
        return [session.get_one(InboxEvent, event_id) for event_id in event_ids]


def test_several_workers_handle_each_event_of_a_backlog_once(
    postgres_database: MakeDatabase, handlers: Handlers
) -> None:
    ids = [f"evt_{number}" for number in range(2000)]
    database = store_backlog(postgres_database([INBOX]), ids)
    with ThreadPoolExecutor(4) as threads:
        tried = list(threads.map(lambda _: Runner(database, handlers).retry_due(), range(4)))
    assert sum(tried) == len(ids)
    assert sum(count > 0 for count in tried) > 1
    assert effects(database) == sorted(ids)
    with database.read() as session:
        assert Counter(session.scalars(select(InboxEvent.status))) == {inbox_models.DONE: len(ids)}


def test_each_event_of_a_retry_batch_gets_its_own_outcome(any_database: MakeDatabase, handlers: Handlers) -> None:
    ids = ["evt_1", "evt_broken", "evt_2", "evt_ignored", "evt_waiting", "evt_3"]
    database = store_backlog(any_database([INBOX]), ids)
    assert Runner(database, handlers).retry_batch() == len(ids)
    assert effects(database) == ["evt_1", "evt_2", "evt_3"]
    done, broken, ignored, waiting = read_rows(database, "evt_2", "evt_broken", "evt_ignored", "evt_waiting")
    assert (done.status, done.error, done.body, done.next_attempt_at) == ("done", None, None, None)
    assert (broken.status, broken.attempts) == ("retrying", 2)
    assert "nowhere" in (broken.traceback or "")
    assert (ignored.status, ignored.error) == ("ignored", "not ours")
    assert (waiting.status, waiting.attempts, waiting.error) == ("waiting", 1, "NotYet: no order yet")


@pytest.mark.parametrize(
    ("attempts", "status", "expected"),
    [
        (1, "retrying", "retry failed, the next one is scheduled"),
        (len(inbox_models.RETRY_DELAYS), "failed", "last retry failed: retry or discard the event"),
    ],
)
def test_failed_retry_logs_what_happens_next(
    sqlite_database: MakeDatabase,
    handlers: Handlers,
    logged: Callable[[], str],
    attempts: int,
    status: str,
    expected: str,
) -> None:
    database = store_backlog(sqlite_database([INBOX]), ["evt_broken"])
    with database.begin() as session:
        session.execute(update(InboxEvent).values(attempts=attempts))
    Runner(database, handlers).retry_batch()
    (row,) = read_rows(database, "evt_broken")
    assert row.status == status
    lines = logged().splitlines()
    assert any(expected in line and "checkout.checkout.canceled" in line for line in lines)


def test_outage_during_a_retry_costs_no_attempt(postgres_database: MakeDatabase) -> None:
    """Without this, an event that waited would wait for the next step of its schedule, up to 40 hours."""
    database, handlers, ran = store_backlog(postgres_database([INBOX]), ["evt_1"]), Handlers(), list[str]()

    @handlers.on("checkout.checkout.canceled")
    def lose_connection_once(event: Event, session: Session) -> None:
        ran.append(event.id)
        if len(ran) == 1:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    runner = Runner(database, handlers)
    with pytest.raises(DBAPIError):
        runner.retry_batch()
    assert runner.retry_batch() == 0  # the claim lasts
    runner.give_back()
    assert [(row.attempts, row.error) for row in read_rows(database, "evt_1")] == [(1, inbox_models.GIVEN_BACK)]
    assert runner.retry_batch() == 1
    assert [row.status for row in read_rows(database, "evt_1")] == ["done"]


def test_event_discarded_after_the_claim_is_not_retried(any_database: MakeDatabase, handlers: Handlers) -> None:
    database = store_backlog(any_database([INBOX]), ["evt_1", "evt_2"])
    with database.begin() as session:
        claimed = inbox.claim_due(session, utcnow())
    with database.begin() as session:
        inbox_operations.apply_action(session, "discard", ["evt_1"], actor="ops", reason="test")
    with database.begin() as session:
        assert [row.event_id for row in inbox.lock_claimed(session, claimed)] == ["evt_2"]


def test_expired_claim_is_not_used_after_a_new_claim(any_database: MakeDatabase) -> None:
    """A worker that is frozen between its claim and its attempt continues too late."""
    database = store_backlog(any_database([INBOX]), ["evt_1"])
    later = utcnow() + 2 * inbox_models.CLAIM_LEASE
    claims = []
    for now in (utcnow(), later):
        with database.begin() as session:
            claims.append(inbox.claim_due(session, now))
    with database.begin() as session:
        late, current = (inbox.lock_claimed(session, claim) for claim in claims)
    assert (len(late), len(current)) == (0, 1)


def test_event_is_not_claimed_again_during_its_attempt(postgres_database: MakeDatabase) -> None:
    database = store_backlog(postgres_database([INBOX]), ["evt_1"])
    with database.begin() as session:
        claimed = inbox.claim_due(session, utcnow())
    with database.begin() as trying, database.begin() as other:
        assert len(inbox.lock_claimed(trying, claimed)) == 1
        assert inbox.claim_due(other, utcnow() + 2 * inbox_models.CLAIM_LEASE) == []


def test_event_that_kills_every_retry_fails_alone(
    any_database: MakeDatabase,
) -> None:
    ids = [f"evt_{number}" for number in range(20)]
    database = store_backlog(any_database([INBOX]), ids)
    url = database.engine.url.render_as_string(hide_password=False)
    run = subprocess.run([sys.executable, "-c", ORCHESTRATOR, url], capture_output=True, timeout=60, check=True)
    assert run.stderr.split() == [b"9"] * 4 + [
        b"0"
    ]  # one death in the batch and three alone; then the event has failed
    assert effects(database) == sorted(set(ids) - {"evt_7"})
    [killer] = read_rows(database, "evt_7")
    assert (killer.status, killer.error, killer.next_attempt_at) == ("failed", inbox_models.INTERRUPTED, None)
    assert killer.event().data["checkout_id"] == "chk_1"


@pytest.mark.parametrize("in_batch", [False, True], ids=["alone", "in a batch"])
def test_arriving_cause_makes_its_waiting_events_due_at_once(
    any_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, in_batch: bool
) -> None:
    monkeypatch.setattr(inbox_models, "WAITING_DELAYS", (timedelta(hours=1),))
    database, registry = any_database((INBOX,)), Handlers()
    handled: list[str] = []

    @registry.on("checkout.checkout.started", unblocks=True)
    def start(event: Event, _session: Session) -> None:
        handled.append(event.id)

    @registry.on("checkout.checkout.canceled")
    def cancel(event: Event, _session: Session) -> None:
        if "evt_cause" not in handled:
            raise NotYet("not started yet")
        handled.append(event.id)

    def make_event(event_id: str, routing_key: str, checkout_id: str = "chk_1") -> Event:
        return Event(event_id, routing_key, "checkout", utcnow(), b"{}", checkout_id)

    runner, cause = Runner(database, registry), make_event("evt_cause", "checkout.checkout.started")
    runner.handle([make_event("evt_early", "checkout.checkout.canceled")])
    runner.handle([make_event("evt_other_checkout", "checkout.checkout.canceled", "chk_2")])
    runner.handle([cause, make_event("evt_other", "checkout.checkout.started", "chk_3")] if in_batch else [cause])
    assert runner.retry_due() == 1
    assert handled[-1] == "evt_early"


def test_failed_preparation_of_a_retry_fails_only_its_event(any_database: MakeDatabase) -> None:
    database, registry = any_database((INBOX,)), Handlers()
    handled: list[str] = []

    @registry.prepare
    def prepare(events: Sequence[Event], _session: Session) -> None:
        if any(event.id == "evt_bad" for event in events) and handled:
            raise LookupError("nothing to lock")

    @registry.on("checkout.checkout.canceled")
    def cancel(event: Event, _session: Session) -> None:
        handled.append(event.id)
        if handled.count(event.id) == 1:
            raise NotYet("not started yet")

    runner = Runner(database, registry)
    for name in ("evt_bad", "evt_1", "evt_2"):
        runner.handle([Event(name, "checkout.checkout.canceled", "checkout", utcnow(), b"{}", f"chk_{name}")])
    runner.retry_batch(utcnow() + timedelta(hours=1))
    with database.read() as session:
        found = {row.event_id: (row.status, row.error) for row in session.scalars(select(InboxEvent))}
    assert found == {
        "evt_bad": ("retrying", "LookupError: nothing to lock"),
        "evt_1": ("done", None),
        "evt_2": ("done", None),
    }


def test_retry_and_its_arriving_cause_do_not_deadlock(
    postgres_database: MakeDatabase, logged: Callable[[], str]
) -> None:
    """Both lock the row of the checkout and the rows of the inbox, and must do so in the same order."""
    database, registry, started = postgres_database((INBOX,)), Handlers(), threading.Event()
    with database.begin() as session:
        session.execute(text("CREATE TABLE checkouts AS SELECT 'chk_1' AS id"))

    @registry.prepare
    def prepare(_events: Sequence[Event], session: Session) -> None:
        session.execute(text("SELECT FROM checkouts FOR UPDATE"))

    @registry.on("checkout.checkout.started", unblocks=True)
    def start(_event: Event, _session: Session) -> None:
        started.set()
        wait_until(lambda: is_lock_awaited(database), what="the retry waits for the checkout row")

    @registry.on("checkout.checkout.canceled")
    def cancel(_event: Event, _session: Session) -> None:
        if not started.is_set():
            raise NotYet("not started yet")

    def make_event(event_id: str, routing_key: str) -> Event:
        return Event(event_id, routing_key, "checkout", utcnow(), b"{}", "chk_1")

    runner = Runner(database, registry)
    runner.handle([make_event("evt_early", "checkout.checkout.canceled")])
    with ThreadPoolExecutor(1) as pool:
        cause = pool.submit(runner.handle_one, make_event("evt_cause", "checkout.checkout.started"))
        wait_until(started.is_set, what="the cause has the checkout row")
        assert runner.retry_batch(utcnow() + timedelta(hours=1)) == 1
        assert cause.result() == "done"
    assert [row.status for row in read_rows(database, "evt_early")] == ["done"]
    assert "deadlock" not in logged()


def is_lock_awaited(database: Database) -> bool:
    with database.read() as session:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(session.scalar(text(waiting)))
