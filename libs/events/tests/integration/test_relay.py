"""The relay: what it marks, whom the outbox wakes, and what is forgotten when."""

from concurrent.futures import Future
from datetime import datetime, timedelta

import psycopg
import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.errors import NotYet, PublishUnconfirmedError
from events.messaging import inbox, outbox
from events.messaging.chains import INBOX, OUTBOX
from events.messaging.event import Event, own_event
from events.messaging.inbox_models import InboxEvent
from events.messaging.outbox import OutboxEvent
from events.messaging.relay import Relay
from events.testing.fixtures import MakeDatabase
from sqlalchemy import select, update


class ScriptedPublisher:
    """Confirms all but the events of `doubted` checkouts; `dies` in the first wait, as its process might."""

    def __init__(self, *doubted: str, dies: bool = False) -> None:
        self._doubted, self._dies = doubted, dies

    def publish(self, event: Event) -> "Future[None]":
        future: Future[None] = Future()
        if event.correlation_id in self._doubted:
            future.set_exception(PublishUnconfirmedError("nack"))
        else:
            future.set_result(None)
        return future

    def wait(self, future: "Future[None]") -> None:
        if self._dies:
            raise SystemExit
        future.result(0)

    def check(self) -> None: ...

    def close(self) -> None: ...


def promise(database: Database, number: int) -> None:
    data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
    with database.begin() as session:
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id=f"chk_{number}")


def unpublished(database: Database) -> list[str | None]:
    with database.read() as session:
        return [row.correlation_id for row in outbox.claim(session)]


def test_exactly_the_confirmed_are_marked(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    for number in range(4):
        promise(database, number)
    with pytest.raises(PublishUnconfirmedError):
        Relay(database, ScriptedPublisher("chk_1", "chk_2")).drain()
    assert unpublished(database) == ["chk_1", "chk_2"]
    assert Relay(database, ScriptedPublisher()).drain() == 2
    assert unpublished(database) == []


def test_nothing_is_marked_before_its_confirm(any_database: MakeDatabase) -> None:
    database = any_database([OUTBOX])
    promise(database, 1)
    with pytest.raises(SystemExit):
        Relay(database, ScriptedPublisher(dies=True)).drain()
    assert unpublished(database) == ["chk_1"]


def test_promise_is_announced_to_other_processes(postgres_database: MakeDatabase) -> None:
    database = postgres_database([OUTBOX])
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as listening:
        listening.execute(f"LISTEN {outbox.CHANNEL}")
        promise(database, 1)
        assert [told.channel for told in listening.notifies(timeout=10, stop_after=1)] == [outbox.CHANNEL]


def test_only_what_is_published_is_forgotten(any_database: MakeDatabase) -> None:
    database, now = any_database([OUTBOX]), utcnow()
    for number in range(3):
        promise(database, number)
    _published(database, "chk_0", now - outbox.RETENTION - timedelta(hours=1))
    _published(database, "chk_1", now - outbox.RETENTION + timedelta(hours=1))
    assert Relay(database, ScriptedPublisher()).prune(now) == 1
    with database.read() as session:
        assert sorted(session.scalars(select(OutboxEvent.correlation_id))) == ["chk_1", "chk_2"]


def _published(database: Database, checkout_id: str, at: datetime) -> None:
    with database.begin() as session:
        session.execute(update(OutboxEvent).where(OutboxEvent.correlation_id == checkout_id).values(published_at=at))


def test_only_what_is_settled_is_forgotten_and_not_before_its_time(any_database: MakeDatabase) -> None:
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
    with database.begin() as session:
        assert inbox.prune(session, now - inbox.RETENTION) == 1
        assert session.get(InboxEvent, events["old"].id) is None
