"""The relay, and the pruning of outbox and inbox."""

import threading
import time
from concurrent.futures import Future
from datetime import datetime, timedelta

import pytest
from events.clock import utcnow
from events.database import chunks
from events.database.engine import Database
from events.errors import NotYet, PublishUnconfirmedError, UnpublishableError
from events.messaging import inbox, outbox
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event, own_event
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.publisher import PikaPublisher
from events.messaging.relay import Relay
from events.testing.fixtures import MakeDatabase
from events.testing.waiting import wait_until
from sqlalchemy import delete, event, select, update


class ScriptedPublisher:
    """Confirms all events but those of `unconfirmed` checkouts; with `dies`, the process ends in the first wait."""

    def __init__(self, *unconfirmed: str, dies: bool = False) -> None:
        self._unconfirmed, self._dies = unconfirmed, dies

    def publish(self, event: Event) -> "Future[None]":
        future: Future[None] = Future()
        if event.correlation_id in self._unconfirmed:
            future.set_exception(PublishUnconfirmedError("nack"))
        else:
            future.set_result(None)
        return future

    def wait(self, *futures: "Future[None]") -> None:
        if self._dies:
            raise SystemExit
        for future in futures:
            future.result(0)

    def check(self) -> None: ...

    def close(self) -> None: ...


def add_to_outbox(database: Database, number: int) -> None:
    data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
    with database.begin() as session:
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id=f"chk_{number}")


def unpublished(database: Database) -> list[str | None]:
    rows = select(OutboxEvent.correlation_id).where(OutboxEvent.published_at.is_(None)).order_by(OutboxEvent.event_id)
    with database.read() as session:
        return list(session.scalars(rows))


def end_leases(database: Database) -> None:
    with database.begin() as session:
        session.execute(update(OutboxEvent).values(claimed_until=utcnow() - timedelta(seconds=1)))


def test_only_confirmed_rows_are_marked_as_published(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    for number in range(4):
        add_to_outbox(database, number)
    with pytest.raises(PublishUnconfirmedError):
        Relay(database, ScriptedPublisher("chk_1", "chk_2")).drain()
    assert unpublished(database) == ["chk_1", "chk_2"]
    end_leases(database)
    assert Relay(database, ScriptedPublisher()).drain() == 2
    assert unpublished(database) == []


def test_row_is_not_marked_before_its_confirm(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    add_to_outbox(database, 1)
    with pytest.raises(SystemExit):
        Relay(database, ScriptedPublisher(dies=True)).drain()
    assert unpublished(database) == ["chk_1"]


def test_rows_of_a_dead_relay_are_published_after_the_lease(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    add_to_outbox(database, 1)
    with pytest.raises(SystemExit):
        Relay(database, ScriptedPublisher(dies=True)).drain()
    other = Relay(database, ScriptedPublisher())
    assert other.run_once() == 0, "the relay may still be alive"
    end_leases(database)
    assert other.run_once() == 1
    assert unpublished(database) == []


def test_no_transaction_is_open_while_events_are_published(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    for number in range(2):
        add_to_outbox(database, number)
    publisher = ScriptedPublisher("chk_0")
    changed: list[str] = []

    def wait(*futures: "Future[None]") -> None:
        with database.begin() as session:  # as an erasure does
            changed.extend(session.scalars(update(OutboxEvent).values(headers={}).returning(OutboxEvent.event_id)))
        ScriptedPublisher.wait(publisher, *futures)

    publisher.wait = wait  # type: ignore[method-assign]
    with pytest.raises(PublishUnconfirmedError):
        Relay(database, publisher).run_once()
    assert len(changed) == 2, "no row is locked"


def test_events_for_a_bad_queue_do_not_hold_up_others(
    any_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "CLAIM_BATCH_SIZE", 2)
    monkeypatch.setattr(outbox, "CLAIM_LEASE", timedelta(seconds=-1))  # as if the leases had ended meanwhile
    database, bad = any_database([OUTBOX]), [f"chk_{number}" for number in range(5)]
    for number in range(6):
        add_to_outbox(database, number)
    relay = Relay(database, ScriptedPublisher(*bad))
    for _ in range(2):
        with pytest.raises(PublishUnconfirmedError):
            relay.run_once()
    assert unpublished(database) == bad


def test_absent_broker_leaves_rows_unclaimed(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    publisher = PikaPublisher("amqp://guest:guest@127.0.0.1:1", declare=False)
    add_to_outbox(database, 0)
    relay = Relay(database, publisher)
    with pytest.raises(PublishUnconfirmedError):
        relay.run_once()
    add_to_outbox(database, 1)
    with pytest.raises(PublishUnconfirmedError):
        relay.run_once()
    publisher.close()
    assert Relay(database, ScriptedPublisher()).run_once() == 1, "the second one waits for no lease"


def test_stuck_publisher_holds_a_claim_for_seconds(any_database: MakeDatabase, broker_url: str) -> None:
    """All rows of a claim share one deadline; one for each would take longer than the lease."""
    database = any_database([OUTBOX])
    for number in range(4):
        add_to_outbox(database, number)
    publisher, release = PikaPublisher(broker_url), threading.Event()
    wait_until(lambda: publisher._state == "ready", 10, "the publisher")
    publisher._loop.add_callback_threadsafe(lambda: release.wait(60))
    started = time.monotonic()
    with pytest.raises(PublishUnconfirmedError, match="no confirm"):
        Relay(database, publisher).run_once()
    assert time.monotonic() - started < outbox.CLAIM_LEASE.total_seconds()
    release.set()
    publisher.close()
    assert len(unpublished(database)) == 4


def test_event_that_amqp_cannot_carry_enters_no_outbox(any_database: MakeDatabase) -> None:
    database, checkout_id = any_database([OUTBOX]), "\u00fc" * 200
    data = {"checkout_id": checkout_id, "session_id": "cs_1"}
    with pytest.raises(UnpublishableError), database.begin() as session:
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id=checkout_id)
    assert unpublished(database) == []


def test_prune_deletes_only_old_published_outbox_rows(any_database: MakeDatabase) -> None:
    database, now = any_database([OUTBOX]), utcnow()
    for number in range(3):
        add_to_outbox(database, number)
    _set_published(database, "chk_0", now - outbox.RETENTION - timedelta(hours=1))
    _set_published(database, "chk_1", now - outbox.RETENTION + timedelta(hours=1))
    assert Relay(database, ScriptedPublisher()).prune(now) == 1
    with database.read() as session:
        kept = select(OutboxEvent.correlation_id).order_by(OutboxEvent.correlation_id)
        assert session.scalars(kept).all() == ["chk_1", "chk_2"]


def test_prune_deletes_more_than_one_chunk(any_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 2)
    database, now = any_database([OUTBOX]), utcnow()
    for number in range(5):
        add_to_outbox(database, number)
        _set_published(database, f"chk_{number}", now - timedelta(days=8))
    assert outbox.prune(database, now - outbox.RETENTION) == 5
    with database.read() as session:
        assert session.scalars(select(OutboxEvent)).all() == []


def test_prune_leaves_out_rows_that_another_one_deletes(postgres_database: MakeDatabase) -> None:
    database, now = postgres_database([OUTBOX]), utcnow()
    for number in range(2):
        add_to_outbox(database, number)
        _set_published(database, f"chk_{number}", now - timedelta(days=8))
    with database.begin() as session:
        session.execute(delete(OutboxEvent).where(OutboxEvent.correlation_id == "chk_0"))
        assert outbox.prune(database, now - outbox.RETENTION) == 1


def test_republish_beside_a_relay_ends(any_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay publishes the first chunk again, with a new time, before the last one is marked."""
    monkeypatch.setattr(chunks, "CHUNK_SIZE", 1)
    database, since = any_database([OUTBOX]), utcnow()
    for number in range(4):
        add_to_outbox(database, number)
    relay = Relay(database, ScriptedPublisher())
    relay.drain()
    relayed: list[int] = []

    def publish_first_chunk(_: object) -> None:
        if not relayed:
            relayed.append(0)  # the relay commits, too
            relayed[0] = relay.drain()

    event.listen(database._sessions, "after_commit", publish_first_chunk)
    assert outbox.republish(database, since) == 4
    assert relayed == [1]
    assert len(unpublished(database)) == 3


def _set_published(database: Database, checkout_id: str, at: datetime) -> None:
    with database.begin() as session:
        session.execute(update(OutboxEvent).where(OutboxEvent.correlation_id == checkout_id).values(published_at=at))


def test_prune_deletes_only_old_finished_inbox_rows(any_database: MakeDatabase) -> None:
    database, now = any_database([INBOX]), utcnow()
    data = {"checkout_id": "chk_1", "session_id": "cs_1"}
    events = {name: own_event("checkout.checkout.canceled", data) for name in ("old", "new", "waiting", "failed")}
    with database.begin() as session:
        inbox.claim_new(session, [events["old"], events["new"]])
        for name in ("waiting", "failed"):
            inbox.store_unhandled(session, events[name], "waiting", NotYet("no order"))
        session.get_one(InboxEvent, events["failed"].id).status = "failed"
        for name, age in {"old": 1, "new": -1, "waiting": 1, "failed": 1}.items():
            session.get_one(InboxEvent, events[name].id).received_at = now - inbox.RETENTION - timedelta(hours=age)
    assert inbox.prune(database, now - inbox.RETENTION) == 1
    with database.read() as session:
        assert session.get(InboxEvent, events["old"].id) is None
