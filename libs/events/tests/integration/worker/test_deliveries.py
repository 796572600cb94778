"""A worker with a real broker and database: each delivered event takes effect once."""

from collections.abc import Callable
from typing import Any

import amqp
import pytest
from events.database.engine import Database
from events.messaging import outbox, topology
from events.messaging.event import Event
from events.messaging.handlers import Handlers
from events.messaging.outbox import OutboxEvent
from events.messaging.runner import HANDLED, Runner
from events.messaging.worker import Worker
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from events.testing.waiting import wait_until
from kombu import Connection
from sqlalchemy import event as listener
from sqlalchemy import select

from libs.events.tests.integration.worker.observed import canceled, count_consumers, depth, effects, rows


def test_redelivered_events_take_effect_once(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    events = [canceled(number) for number in range(120)]
    publish(*events[:100], *events[:60])
    start()
    publish(*events[50:])
    wait_until(lambda: len(effects(database)) == 120 and depth(broker_url, "orders") == 0, 30)
    assert effects(database) == sorted(f"chk_{number}" for number in range(120))
    assert {row.body for row in rows(database, "done")} == {None}


def test_each_delivered_event_gets_its_own_outcome(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database
) -> None:
    unfinished = [
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=f"cs_{problem}")))
        for problem in ("ignored", "waiting", "broken")
    ]
    publish(canceled(1), *unfinished, canceled(2))
    start()
    statuses = ("ignored", "waiting", "retrying")
    wait_until(lambda: effects(database) == ["chk_1", "chk_2"] and all(rows(database, each) for each in statuses), 30)
    [ignored], [waiting], [retrying] = (rows(database, status) for status in statuses)
    assert ignored.error == "not ours"
    assert waiting.error == "NotYet: no order yet"
    assert waiting.event().object["id"] == "cs_waiting"
    assert "ValueError: defect" in (retrying.traceback or "")
    assert waiting.next_attempt_at is not None
    assert retrying.next_attempt_at is not None


def test_failed_events_are_stored_in_the_batch_transaction(database: Database, handlers: Handlers) -> None:
    """Early, unknown and failing events do not roll back the transaction that they share with others."""
    commits: list[object] = []
    listener.listen(database.engine, "commit", commits.append)
    ignored, waiting, broken = (
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=f"cs_{problem}")))
        for problem in ("ignored", "waiting", "broken")
    )
    unknown = as_bus_event(stripe_event("product.updated", {"id": "prod_1", "object": "product"}))
    fine = [canceled(number) for number in range(1, 20)]

    Runner(database, handlers).handle([fine[0], ignored, fine[1], waiting, unknown, broken, *fine[2:]])

    assert effects(database) == sorted(f"chk_{number}" for number in range(1, 20))
    assert {row.event_id: row.error for row in rows(database, "ignored")} == {
        ignored.id: "not ours",
        unknown.id: "no handler for such events",
    }
    assert [row.event().body for row in rows(database, "waiting")] == [waiting.body]
    assert ["ValueError: defect" in str(row.traceback) for row in rows(database, "retrying")] == [True]
    assert len(commits) == 1


@pytest.mark.parametrize("others", [[], ["cs_ignored"]], ids=["batch", "savepoints"])
def test_duplicate_within_a_batch_takes_effect_once(database: Database, handlers: Handlers, others: list[str]) -> None:
    more = [
        as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id=each))) for each in others
    ]
    event = canceled(1)
    Runner(database, handlers).handle([event, canceled(2), event, *more])
    assert effects(database) == ["chk_1", "chk_2"]


def test_duplicate_within_a_batch_is_counted_as_one(database: Database, handlers: Handlers) -> None:
    def count(outcome: str) -> float:
        return float(HANDLED.labels("checkout.checkout.canceled", outcome)._value.get())

    done, duplicates = count("done"), count("duplicate")
    event = canceled(1)
    Runner(database, handlers).handle([event, canceled(2), event])
    assert (count("done") - done, count("duplicate") - duplicates) == (2, 1)


def test_undecodable_body_is_dead_lettered(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str
) -> None:
    good = canceled(1)
    publish(Event(**{**vars(good), "id": "evt_bad", "body": b"\xff not json"}), good)
    with Connection(broker_url) as connection:
        connection.Producer().publish(
            b"no envelope", exchange=topology.EVENTS, routing_key="checkout.checkout.canceled"
        )
    start()
    wait_until(
        lambda: depth(broker_url, topology.dead_letter_queue("orders")) == 2 and effects(database) == ["chk_1"], 30
    )


UNSTORABLE: dict[str, dict[str, Any]] = {
    "NUL in the id": {"message_id": "evt_\0"},
    "NUL in the checkout id": {"correlation_id": "chk_\0"},
    "NUL in a header": {"headers": {"version": 1, "causation_id": "evt_\0"}},
    "long source": {"app_id": "s" * 65},
    "long key": {"headers": {"version": 1, topology.ORIGINAL_KEY_HEADER: "k" * 256}},
}


@pytest.mark.parametrize("changes", UNSTORABLE.values(), ids=UNSTORABLE)
def test_envelope_that_no_inbox_stores_is_dead_lettered(
    publish: Callable[..., None],
    start: Callable[..., Worker],
    database: Database,
    broker_url: str,
    changes: dict[str, Any],
) -> None:
    properties = canceled(1).properties() | changes
    headers = properties.pop("headers")
    with Connection(broker_url) as connection:
        message = amqp.Message(canceled(1).body, application_headers=headers, **properties)
        connection.default_channel.basic_publish(message, exchange="", routing_key="orders")
    publish(canceled(2))
    start()
    wait_until(
        lambda: depth(broker_url, topology.dead_letter_queue("orders")) == 1 and effects(database) == ["chk_2"], 30
    )


@pytest.mark.parametrize("deaths", [[], [{"exchange": "events", "routing-keys": ["checkout.checkout.canceled"]}]])
def test_moved_message_is_handled_by_its_own_key(
    start: Callable[..., Worker], database: Database, broker_url: str, deaths: list[Any]
) -> None:
    """RabbitMQ's management page and shovels publish by the name of the queue."""
    own = canceled(1)
    stripe = as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id="cs_waiting")))
    start()
    wait_until(lambda: count_consumers(broker_url) == 1, 30)  # the queue exists: no exchange would keep the message
    with Connection(broker_url) as connection:
        for event in (own, stripe):
            properties = event.properties()
            headers = properties.pop("headers") | ({"x-death": deaths} if deaths and event is own else {})
            if deaths and event is own:
                properties["type"] = None
            encoding = {name: properties.pop(name) for name in ("content_type", "content_encoding")}
            connection.Producer().publish(
                event.body, exchange="", routing_key="orders", headers=headers, **encoding, **properties
            )
    wait_until(lambda: effects(database) == ["chk_1"] and rows(database, "waiting"), 30)
    [waiting] = rows(database, "waiting")
    assert waiting.routing_key == stripe.routing_key


MOVED = {
    "waiting": as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id="cs_waiting"))),
    "retrying": as_bus_event(stripe_event("checkout.session.completed", checkout_session("chk_x", id="cs_broken"))),
    "ignored": as_bus_event(stripe_event("charge.updated", {"id": "ch_1", "object": "charge"})),  # has no handler
}


@pytest.mark.parametrize("outcome", MOVED)
def test_moved_dead_letter_is_stored_with_its_payload(
    publish: Callable[..., None], start: Callable[..., Worker], database: Database, broker_url: str, outcome: str
) -> None:
    """The broker's header `x-death` has a time, which is no JSON."""
    event, dead = MOVED[outcome], topology.dead_letter_queue("orders")
    publish(event)
    with Connection(broker_url) as connection:
        channel = connection.default_channel
        wait_until(lambda: depth(broker_url, "orders") == 1, 30)
        channel.basic_reject(channel.basic_get("orders").delivery_tag, requeue=False)
        wait_until(lambda: depth(broker_url, dead) == 1, 30)
        letter = channel.basic_get(dead)
        assert letter.headers["x-death"]
        channel.basic_publish(letter, exchange="", routing_key="orders")  # as a shovel does, with all headers
        channel.basic_ack(letter.delivery_tag)
    start()
    wait_until(lambda: rows(database, outcome), 30)
    [row] = rows(database, outcome)
    assert (row.routing_key, row.event().object) == (event.routing_key, event.object)
    assert row.headers == event.headers


def test_relay_publishes_outbox_rows(start: Callable[..., Worker], database: Database, broker_url: str) -> None:
    start()
    with database.begin() as session:
        data = {"checkout_id": "chk_7", "session_id": "cs_7"}
        outbox.add(session, "checkout.checkout.canceled", data, correlation_id="chk_7")
    wait_until(lambda: effects(database) == ["chk_7"], 30)

    def is_marked() -> bool:
        with database.read() as session:
            return session.scalars(select(OutboxEvent.published_at)).one() is not None

    wait_until(is_marked, 30)
