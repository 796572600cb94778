"""An event without a handler: "no handler" is the verdict of one release, and the next one may have it."""

from datetime import timedelta

import pytest
from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.messaging import inbox
from events.messaging.chains import INBOX
from events.messaging.erasure import erase_inbox
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.operations.inbox_api import inbox_blueprint
from events.testing.fixtures import MakeDatabase
from events.web.app import create_app
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database((INBOX,))


@pytest.fixture
def client(database: Database) -> FlaskClient:
    config = Common(service="orders", port=0, broker_url="memory://", operator_tokens={"ana": "token-of-ana-16ch"})
    app = create_app(config, title="test", checks={}, blueprints=[inbox_blueprint(database)])
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer token-of-ana-16ch"
    return client


def started(number: int) -> Event:
    data = {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"}
    return own_event("checkout.checkout.canceled", data, correlation_id=f"chk_{number}", event_id=f"evt_{number}")


def row(database: Database, number: int) -> InboxEvent:
    with database.read() as session:
        return session.get_one(InboxEvent, f"evt_{number}")


def next_release(handled: list[str]) -> Handlers:
    handlers = Handlers()

    @handlers.on("checkout.checkout.canceled")
    def handle(event: Event, session: Session) -> None:
        handled.append(event.id)

    return handlers


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "batch"])
def test_next_release_handles_a_retried_event(database: Database, client: FlaskClient, count: int) -> None:
    events, handled = [started(number) for number in range(count)], list[str]()
    Runner(database, Handlers()).handle(events)
    assert (row(database, 0).status, row(database, 0).error) == ("ignored", "no handler for such events")

    newer = Runner(database, next_release(handled))
    newer.handle(events)  # a redelivery alone does nothing
    assert handled == []
    assert client.post("/ops/inbox/evt_0/retry", json={}).status_code == 200
    newer.retry_due()

    assert handled == ["evt_0"]
    assert row(database, 0).status == "done"


def test_bulk_retry_takes_unhandled_events_when_asked(database: Database, client: FlaskClient) -> None:
    handled: list[str] = []
    Runner(database, Handlers()).handle([started(0), started(1)])
    assert client.post("/ops/inbox/retry", json={"all": True}).json["event_ids"] == []  # type: ignore[index]
    answer = client.post("/ops/inbox/retry", json={"status": "ignored"}).json
    assert answer is not None
    assert answer["event_ids"] == ["evt_0", "evt_1"]
    Runner(database, next_release(handled)).retry_due()
    assert sorted(handled) == ["evt_0", "evt_1"]


def test_retry_without_a_new_handler_keeps_the_payload(database: Database, client: FlaskClient) -> None:
    old = Runner(database, Handlers())
    old.handle([started(0)])
    client.post("/ops/inbox/evt_0/retry", json={})
    old.retry_due()
    assert row(database, 0).status == "ignored"
    assert client.post("/ops/inbox/evt_0/retry", json={}).status_code == 200


def test_payload_is_dropped_after_a_week(database: Database, client: FlaskClient) -> None:
    Runner(database, Handlers()).handle([started(0), started(1)])
    week_ago = utcnow() - inbox.UNHANDLED_RETENTION
    with database.begin() as session:
        earlier = update(InboxEvent).where(InboxEvent.event_id == "evt_0")
        session.execute(earlier.values(received_at=week_ago - timedelta(hours=1)))
    assert inbox.drop_unhandled(database, week_ago) == 1
    assert [row(database, number).body is None for number in (0, 1)] == [True, False]
    assert client.post("/ops/inbox/evt_0/retry", json={}).status_code == 409


def test_event_that_is_not_needed_keeps_no_payload(database: Database) -> None:
    handlers = Handlers()
    handlers.ignore("checkout.checkout.canceled")
    Runner(database, handlers).handle([started(0), started(1)])
    Runner(database, handlers).handle([started(2)])
    assert {(row(database, n).status, row(database, n).error, row(database, n).body) for n in range(3)} == {
        ("ignored", "this service does not need such events", None)
    }


def test_erasure_reaches_unhandled_events(database: Database) -> None:
    named = Event(**{**vars(started(0)), "body": b'{"checkout_id": "chk_0", "customer_email": "a@b.example"}'})
    Runner(database, Handlers()).handle([named])
    assert b"a@b.example" in (row(database, 0).body or b"")
    with database.begin() as session:
        erase_inbox(session, "chk_0")
    assert b"a@b.example" not in (row(database, 0).body or b"")
