"""The retry schedule of an event that could not be handled. Clock and jitter are fixed."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from events.errors import NotYet
from events.messaging import inbox, inbox_models
from events.messaging.inbox_models import DISCARDED, DONE, FAILED, IGNORED, RETRYING, WAITING, InboxEvent

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECONDS = {
    RETRYING: [5, 30, 120, 600, 3600, 21600],
    WAITING: [1, 5, 30, 120, 600, 3600, 21600, 86400, 144000],
}


@pytest.fixture(autouse=True)
def fixed_clock_and_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_models, "utcnow", lambda: NOW)
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)


@pytest.fixture
def row() -> InboxEvent:
    return InboxEvent(
        event_id="evt_1",
        routing_key="a.b",
        source="orders",
        occurred_at=NOW,
        status=RETRYING,
        attempts=1,
        headers={"version": 1},
        body=b"{}",
    )


def delays(row: InboxEvent, status: str, error: Exception) -> list[float]:
    """Fail until no attempt is left and return the seconds until each next attempt."""
    found = []
    while row.status != FAILED:
        row.schedule_retry(status, error)
        if row.next_attempt_at is not None:
            found.append((row.next_attempt_at - NOW).total_seconds())
            row.begin_attempt()
    return found


def fail() -> None:
    raise RuntimeError("no such column")


@pytest.mark.parametrize(("status", "error"), [(RETRYING, RuntimeError("no")), (WAITING, NotYet("the order"))])
def test_attempts_follow_the_schedule_and_then_fail(row: InboxEvent, status: str, error: Exception) -> None:
    assert delays(row, status, error) == SECONDS[status]
    assert (row.status, row.next_attempt_at, row.finished_at) == (FAILED, None, NOW)
    assert row.attempts == len(SECONDS[status]) + 1


def test_failed_event_keeps_what_a_retry_needs(row: InboxEvent) -> None:
    delays(row, RETRYING, RuntimeError("no"))
    event = row.event()
    assert (event.id, event.routing_key, event.body, event.headers) == ("evt_1", "a.b", b"{}", {"version": 1})


@pytest.mark.parametrize("edge", [0, 1])
def test_jitter_is_at_most_a_fifth(row: InboxEvent, monkeypatch: pytest.MonkeyPatch, edge: int) -> None:
    monkeypatch.setattr(random, "uniform", lambda *ends: ends[edge])
    row.schedule_retry(RETRYING, RuntimeError("no"))
    assert row.next_attempt_at == NOW + timedelta(seconds=[4, 6][edge])


def test_error_is_stored_with_its_traceback(row: InboxEvent) -> None:
    with pytest.raises(RuntimeError) as raised:
        fail()
    row.schedule_retry(RETRYING, raised.value)
    assert row.error == "RuntimeError: no such column"
    assert row.traceback is not None
    assert "in fail" in row.traceback


def test_waiting_event_has_no_traceback(row: InboxEvent) -> None:
    row.schedule_retry(RETRYING, RuntimeError("no"))
    row.schedule_retry(WAITING, NotYet("chk_1 has not arrived"))
    assert (row.status, row.error, row.traceback) == (WAITING, "NotYet: chk_1 has not arrived", None)


def test_error_after_many_waits_is_retried(row: InboxEvent) -> None:
    for _ in range(7):
        row.schedule_retry(WAITING, NotYet("the order"))
        row.begin_attempt()
    row.schedule_retry(RETRYING, RuntimeError("a lock, a deployment"))
    assert row.status == RETRYING


def test_event_that_kills_every_attempt_ends_as_failed(row: InboxEvent) -> None:
    """No attempt reports its outcome: one claim lease, then the schedule, then no more attempts."""
    row.schedule_retry(RETRYING, RuntimeError("no"))
    found = []
    while row.status != FAILED:
        row.begin_attempt()
        if row.next_attempt_at is not None:
            found.append((row.next_attempt_at - NOW).total_seconds())
    lease = inbox_models.CLAIM_LEASE.total_seconds()
    assert found == [lease, *SECONDS[RETRYING][2:], lease, lease]
    assert (row.error, row.finished_at, row.body) == (inbox_models.INTERRUPTED, NOW, b"{}")


def test_event_interrupted_in_its_last_attempt_gets_another(row: InboxEvent) -> None:
    row.attempts = len(SECONDS[RETRYING])
    row.begin_attempt()
    row.begin_attempt()
    assert row.status == RETRYING
    row.schedule_retry(RETRYING, RuntimeError("no"))
    assert row.status == FAILED


@pytest.mark.parametrize("status", [DONE, IGNORED])
def test_handled_event_drops_its_payload(row: InboxEvent, status: str) -> None:
    row.schedule_retry(RETRYING, RuntimeError("no"))
    row.finish(status, "not ours" if status == IGNORED else None)
    assert (row.status, row.finished_at, row.next_attempt_at) == (status, NOW, None)
    assert (row.body, row.headers, row.traceback) == (None, None, None)
    assert row.error == ("not ours" if status == IGNORED else None)
    with pytest.raises(ValueError, match="dropped"):
        row.event()


def test_discarded_event_keeps_its_payload_and_error(row: InboxEvent) -> None:
    row.schedule_retry(RETRYING, RuntimeError("no"))
    row.finish(DISCARDED)
    assert (row.status, row.body, row.error) == (DISCARDED, b"{}", "RuntimeError: no")


def test_retention_is_longer_than_stripes_event_list() -> None:
    assert timedelta(days=30) < inbox.RETENTION
