"""Operators retry and discard events, by HTTP and on the command line, and change none by mistake."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from events.cli import service_cli
from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.errors import NotYet
from events.messaging import inbox
from events.messaging.chains import INBOX
from events.messaging.event import own_event
from events.messaging.inbox_models import InboxAuditEntry, InboxEvent
from events.operations import inbox as inbox_operations
from events.operations.inbox_api import inbox_blueprint
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from events.web.app import create_app
from flask.testing import FlaskClient
from sqlalchemy import select, text

Running = Callable[..., Result]


def store(database: Database, number: int, status: str = "retrying", error: str = "no such column") -> str:
    """Store an event with this status and return its id. A higher number is received later."""
    event = own_event(
        "checkout.checkout.canceled",
        {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"},
        correlation_id=f"chk_{number}",
        event_id=f"evt_{number}",
    )
    problem = NotYet(error) if status == "waiting" else ValueError(error)
    with database.begin() as session:
        inbox.store_unhandled(session, event, "waiting" if status == "waiting" else "retrying", problem)
        row = session.get_one(InboxEvent, event.id)
        row.received_at = utcnow() - timedelta(hours=1) + timedelta(seconds=number)
        if status == "failed":
            row.status, row.next_attempt_at, row.attempts = "failed", None, 7
        elif status in ("done", "ignored"):
            row.finish(status, error if status == "ignored" else None)
    return event.id


@pytest.fixture
def database(sqlite_database: MakeDatabase) -> Database:
    return sqlite_database([INBOX])


@pytest.fixture
def client(database: Database) -> FlaskClient:
    config = Common(service="orders", port=0, broker_url="memory://", operator_tokens={"ana": "token-of-ana-16ch"})
    app = create_app(config, title="test", checks={}, blueprints=[inbox_blueprint(database)])
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer token-of-ana-16ch"
    return client


@pytest.fixture
def run(database: Database) -> Running:
    url = database.engine.url.render_as_string(hide_password=False)

    def load() -> Common:
        return Common(service="orders", port=0, broker_url="memory://", database_url=url)

    group = service_cli("orders", load=load, app="none:none", chains=[INBOX])
    return lambda *arguments: CliRunner().invoke(group, ["inbox", *arguments])


def statuses(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.event_id: row.status for row in session.scalars(select(InboxEvent))}


def audited(database: Database) -> list[tuple[str, str | None, str | None]]:
    with database.read() as session:
        rows = session.scalars(select(InboxAuditEntry).order_by(InboxAuditEntry.id)).all()
    assert all(row.actor.startswith(("cli:", "ana")) for row in rows)
    return [(row.action, row.event_id, row.reason) for row in rows]


def test_list_applies_every_filter(database: Database, run: Running) -> None:
    store(database, 1, "failed")
    store(database, 2, "waiting", "the order has not arrived")
    found = {
        ("--status", "failed"): {"evt_1"},
        ("--type", "checkout.checkout.canceled"): {"evt_1", "evt_2"},
        ("--type", "charge.succeeded"): set(),
        ("--correlation-id", "chk_2"): {"evt_2"},
        ("--error", "NOT ARRIVED"): {"evt_2"},
        ("--error", "100%"): set(),
        ("--received-from", "2h"): {"evt_1", "evt_2"},
        ("--received-from", "10m"): set(),
        ("--received-to", "2h"): set(),
        ("--limit", "1"): {"evt_2"},
    }
    for options, expected in found.items():
        rows = json.loads(run("list", "--json", *options).stdout)
        assert {row["event_id"] for row in rows} == expected, options
    assert "failed    evt_1 checkout.checkout.canceled attempts=7" in run("list").stdout


def test_show_prints_the_payload_and_the_traceback(database: Database, run: Running) -> None:
    store(database, 1)
    shown = run("show", "evt_1").stdout
    assert '"checkout_id":"chk_1"' in shown
    assert "ValueError: no such column" in shown
    assert json.loads(run("show", "evt_1", "--json").stdout)["attempts"] == 1
    assert run("show", "evt_9").exit_code == 1


@pytest.mark.parametrize("action", ["retry", "discard"])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["evt_1", "--status", "failed"],
        ["evt_1", "--all"],
        ["--all", "--status", "failed"],
        ["evt_1", "--dry-run"],
        ["--status", "done"],
        ["--error", ""],
    ],
)
def test_ambiguous_selection_changes_nothing(
    database: Database, run: Running, action: str, arguments: list[str]
) -> None:
    store(database, 1, "failed")
    assert run(action, *arguments, "--reason", "x").exit_code == 2
    assert (statuses(database), audited(database)) == ({"evt_1": "failed"}, [])


def test_discard_requires_a_reason_and_is_audited(database: Database, run: Running) -> None:
    store(database, 1, "failed")
    assert run("discard", "evt_1").exit_code == 2
    assert run("discard", "evt_1", "--reason", "a test order").exit_code == 0
    assert audited(database) == [("discard", "evt_1", "a test order")]
    assert "discard evt_1 a test order" in run("audit").stdout


def test_finished_event_ids_are_reported_and_unchanged(database: Database, run: Running) -> None:
    store(database, 1, "failed")
    store(database, 2, "done")
    result = run("retry", "evt_1", "evt_2", "evt_3")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "evt_1 scheduled for a retry"
    assert result.stdout.count("unchanged") == 2
    assert audited(database) == [("retry", "evt_1", None)]


def test_dry_run_changes_nothing(database: Database, run: Running) -> None:
    for number in range(3):
        store(database, number, "failed")
    result = run("retry", "--status", "failed", "--limit", "2", "--dry-run")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["evt_0", "evt_1"]
    assert "2 of 3 matching would be changed." in result.stderr
    assert (set(statuses(database).values()), audited(database)) == ({"failed"}, [])


def test_limit_selects_the_oldest_events(database: Database, run: Running) -> None:
    for number in range(3):
        store(database, number, "failed")
    run("discard", "--all", "--limit", "2", "--reason", "x")
    assert statuses(database) == {"evt_0": "discarded", "evt_1": "discarded", "evt_2": "failed"}


def test_rate_spreads_retries_over_time(database: Database, run: Running) -> None:
    for number in range(5):
        store(database, number, "failed")
    before = utcnow()
    assert run("retry", "--all", "--rate", "2").exit_code == 0
    with database.read() as session:
        rows = session.scalars(select(InboxEvent).order_by(InboxEvent.received_at)).all()
    due = [round((row.next_attempt_at - before).total_seconds()) for row in rows if row.next_attempt_at]
    assert [at - due[0] for at in due] == [0, 0, 1, 1, 2]
    assert {(row.status, row.attempts, row.finished_at) for row in rows} == {("retrying", 0, None)}


def test_bulk_action_uses_small_transactions(any_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    database = any_database([INBOX])
    monkeypatch.setattr(inbox_operations, "EVENTS_PER_TRANSACTION", 2)
    for number in range(5):
        store(database, number, "failed")
    chunks = list(
        inbox_operations.apply_action_to_all(
            database, "retry", {"status": "failed"}, limit=None, actor="ana", reason=None
        )
    )
    assert chunks == [["evt_0", "evt_1"], ["evt_2", "evt_3"], ["evt_4"]]


def test_operator_retry_keeps_a_waiting_event_waiting(database: Database, run: Running) -> None:
    store(database, 1, "waiting")
    run("retry", "--all")
    assert statuses(database) == {"evt_1": "waiting"}


def test_bulk_action_without_match_says_so(database: Database, run: Running, client: FlaskClient) -> None:
    assert "No matching event can be changed." in run("retry", "--status", "failed").stderr
    answer = client.post("/ops/inbox/retry", json={"status": "failed"})
    assert answer.json == {
        "event_ids": [],
        "matching": 0,
        "message": "No matching event can be changed.",
        "dry_run": False,
    }


@pytest.mark.parametrize(("action", "status"), [("retry", "retrying"), ("discard", "discarded")])
def test_bulk_action_by_http_changes_the_oldest(
    database: Database, client: FlaskClient, action: str, status: str
) -> None:
    for number in range(3):
        store(database, number, "failed")
    store(database, 3, "waiting")
    wanted = {"status": "failed", "limit": 2, "reason": "deployed a fix"}
    tried = client.post(f"/ops/inbox/{action}", json={**wanted, "dry_run": True}).get_json()
    assert (tried["event_ids"], tried["matching"], tried["dry_run"]) == (["evt_0", "evt_1"], 3, True)
    assert audited(database) == []
    assert client.post(f"/ops/inbox/{action}", json=wanted).get_json()["event_ids"] == ["evt_0", "evt_1"]
    assert statuses(database) == {"evt_0": status, "evt_1": status, "evt_2": "failed", "evt_3": "waiting"}
    assert audited(database) == [(action, "evt_0", "deployed a fix"), (action, "evt_1", "deployed a fix")]


@pytest.mark.parametrize("action", ["retry", "discard"])
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"status": "done"},
        {"status": "discarded"},
        {"statsu": "failed"},
        {"error": "x", "limit": 0},
        {"error": ""},
        {"type": " "},
        {"correlation_id": ""},
        {"all": True, "type": "x"},
    ],
)
def test_bulk_action_without_valid_filter_is_refused(
    database: Database, client: FlaskClient, action: str, wanted: dict[str, Any]
) -> None:
    store(database, 1, "failed")
    answer = client.post(f"/ops/inbox/{action}", json={**wanted, "reason": "x"})
    assert answer.status_code == 422, answer.json
    assert statuses(database) == {"evt_1": "failed"}


def test_bulk_discard_requires_a_reason(database: Database, client: FlaskClient) -> None:
    store(database, 1, "failed")
    assert client.post("/ops/inbox/discard", json={"all": True}).status_code == 422
    assert client.post("/ops/inbox/discard", json={"all": True, "reason": "x"}).status_code == 200
    assert statuses(database) == {"evt_1": "discarded"}


@pytest.mark.parametrize(
    "path", ["/ops/inbox?statsu=failed", "/ops/inbox/audit?evnt_id=1", "/ops/inbox/audit?cursor=x"]
)
def test_search_with_invalid_query_is_refused(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 422


def test_error_is_searched_in_ignored_events_only_by_status(database: Database, client: FlaskClient) -> None:
    ignored = store(database, 1, "ignored", "not made by our checkout")
    failed = store(database, 2, "failed", "made by a defect")

    def found(query: str) -> list[str]:
        items = client.get(f"/ops/inbox?error=made&{query}").get_json()["items"]
        return [item["event_id"] for item in items]

    assert found("") == [failed]
    assert found("status=ignored") == [ignored]


def test_two_first_pauses_at_once_both_succeed(postgres_database: MakeDatabase) -> None:
    database = postgres_database([INBOX])

    def pause() -> None:
        with database.begin() as session:
            inbox_operations.set_paused(session, True, actor="ana", reason=None)

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as session:
            inbox_operations.set_paused(session, True, actor="ben", reason=None)
            session.flush()
            second = pool.submit(pause)
            wait_until(lambda: waits_for_a_lock(database), what="the second pause to wait for the first")
        second.result()
    with database.read() as session:
        assert inbox.is_paused(session)


def waits_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(session.scalar(text(waiting)))


def test_http_actions_appear_in_the_paged_audit(database: Database, client: FlaskClient) -> None:
    store(database, 1, "failed")
    client.post("/ops/pause", json={"reason": "a look"})
    assert client.post("/ops/inbox/evt_1/discard").status_code == 200
    assert client.post("/ops/inbox/evt_1/discard").status_code == 409
    assert client.post("/ops/inbox/evt_9/retry").status_code == 404
    first = client.get("/ops/inbox/audit?limit=1").get_json()
    second = client.get(f"/ops/inbox/audit?limit=1&cursor={first['next_cursor']}").get_json()
    assert [(row["actor"], row["action"], row["event_id"], row["reason"]) for row in first["items"]] == [
        ("ana", "discard", "evt_1", None)
    ]
    assert [(row["action"], row["reason"]) for row in second["items"]] == [("pause", "a look")]
    assert second["next_cursor"] is None
    assert len(client.get("/ops/inbox/audit?event_id=evt_1").get_json()["items"]) == 1
