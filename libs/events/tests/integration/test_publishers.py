"""Both publishers keep the same promises: one suite for pika on RabbitMQ and for the embedded bus."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from events.errors import PublishUnconfirmedError, PublishWindowFullError
from events.messaging import publisher, topology
from events.messaging.consumer import bytes_of, connect
from events.messaging.event import Event, own_event
from events.messaging.publisher import Publisher
from events.testing.servers import wait_until
from kombu import Connection
from pika.spec import Basic


def paid(number: int = 1) -> Event:
    return own_event(
        "checkout.checkout.canceled",
        {"checkout_id": f"chk_{number}", "session_id": f"cs_{number}"},
        correlation_id=f"chk_{number}",
    )


@pytest.fixture(params=["memory", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> str:
    fixture = "memory_broker_url" if request.param == "memory" else "broker_url"
    value: str = request.getfixturevalue(fixture)
    return value


@pytest.fixture
def publishing(url: str) -> Iterator[Publisher]:
    made = publisher.connect(url)
    yield made
    made.close()


@pytest.fixture
def broker(url: str) -> Iterator[Connection]:
    with connect(url) as connection:
        yield connection


def received(connection: Connection, queue: str) -> Event | None:
    message = connection.default_channel.basic_get(queue, no_ack=True)
    if message is None:
        return None
    message = connection.default_channel.message_to_python(message) if not hasattr(message, "properties") else message
    properties = {"headers": message.headers, **message.properties}
    return Event.from_delivery(message.delivery_info["routing_key"], properties, bytes_of(message))


def test_confirmed_event_is_in_its_queue_as_it_was(publishing: Publisher, broker: Connection) -> None:
    event = paid()
    publishing.wait(publishing.publish(event))

    got = received(broker, "orders")

    assert got is not None
    assert (got.id, got.routing_key, got.source, got.correlation_id) == (
        event.id,
        "checkout.checkout.canceled",
        "checkout",
        "chk_1",
    )
    assert got.body == event.body
    assert got.headers["version"] == 1
    assert got.occurred_at == event.occurred_at.replace(microsecond=0)
    assert received(broker, "inventory") is None


def test_event_that_nobody_binds_is_kept_as_unrouted(publishing: Publisher, broker: Connection) -> None:
    from events.testing.stripe import as_bus_event, stripe_event

    publishing.wait(publishing.publish(as_bus_event(stripe_event("product.updated", {"id": "prod_1"}))))

    got = received(broker, topology.UNROUTED)
    assert got is not None
    assert got.type == "product.updated"


def test_many_at_once_are_each_confirmed(publishing: Publisher, broker: Connection) -> None:
    events = [paid(number) for number in range(150)]
    for future in [publishing.publish(event) for event in events]:
        publishing.wait(future)

    assert {received(broker, "orders").id for _ in events} == {event.id for event in events}  # type: ignore[union-attr]


def test_closed_publisher_refuses(publishing: Publisher) -> None:
    publishing.close()
    with pytest.raises(PublishUnconfirmedError):
        publishing.wait(publishing.publish(paid()))
    with pytest.raises(PublishUnconfirmedError):
        publishing.check()


@pytest.mark.parametrize("after", [0, 0.001, 0.005, 0.02])
def test_publisher_is_closed_in_peace_while_it_connects(broker_url: str, after: float) -> None:
    """A failure of its thread would fail this test."""
    publishing = publisher.connect(broker_url)
    threading.Event().wait(after)
    publishing.close()
    assert not publishing._thread.is_alive()  # type: ignore[attr-defined]


def test_window_sheds_what_exceeds_it(broker_url: str) -> None:
    publishing = publisher.PikaPublisher(broker_url, window=2)
    try:
        outcomes = [future.exception(5) for future in [publishing.publish(paid(number)) for number in range(50)]]
    finally:
        publishing.close()
    assert outcomes[:2] == [None, None]
    assert any(isinstance(outcome, PublishWindowFullError) for outcome in outcomes)


def test_event_that_no_queue_takes_is_not_confirmed(broker_url: str) -> None:
    """Without the alternate exchange's queue nothing takes a stranger: mandatory must say so."""
    publishing = publisher.connect(broker_url)
    publishing.wait(publishing.publish(paid()))
    with Connection(broker_url) as connection:
        connection.default_channel.queue_delete(topology.UNROUTED)
        from events.testing.stripe import as_bus_event, stripe_event

        with pytest.raises(PublishUnconfirmedError, match="no queue takes"):
            publishing.wait(publishing.publish(as_bus_event(stripe_event("product.updated", {"id": "prod_1"}))))
    publishing.wait(publishing.publish(paid()))  # on a new channel, whose declarations restored the queue
    publishing.close()


def test_absent_broker_fails_within_the_deadline() -> None:
    from events.testing.servers import free_port

    publishing = publisher.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert isinstance(publishing.publish(paid()).exception(publisher.CONFIRM_TIMEOUT_S + 1), PublishUnconfirmedError)
    publishing.close()


def test_publisher_that_is_closed_while_it_connects_ends_in_good_order() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publishing = publisher.PikaPublisher(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")
        with silent.accept()[0] as accepted:
            assert accepted.recv(4) == b"AMQP"
            publishing.close()
    assert not publishing._thread.is_alive()


def test_caller_holds_its_own_deadline(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the I/O thread itself be stuck, nobody settles the future."""
    publishing = publisher.connect(broker_url)
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 0.01)
    began = time.monotonic()
    with pytest.raises(PublishUnconfirmedError, match="no confirm within"):
        publishing.wait(Future())
    assert time.monotonic() - began < publisher.CALLER_GRACE_S + 2
    publishing.close()


def test_node_that_is_away_is_left_for_the_next(broker_url: str) -> None:
    from events.testing.servers import free_port

    publishing = publisher.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/;{broker_url}")
    publishing.wait(publishing.publish(paid()))
    publishing.close()


def test_broker_that_stays_away_is_not_waited_for() -> None:
    """Else a request that had to wait for a free thread would wait for the broker a second time."""
    from events.testing.servers import free_port

    publishing = publisher.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert not publishing.publish(paid(1)).done()
    wait_until(
        lambda: publishing.publish(paid(2)).done(), 2 * publisher.OUTAGE_GRACE_S + 1, "an answer without waiting"
    )
    publishing.close()


def test_killed_broker_connection_is_replaced_and_the_next_publish_is_kept(broker_url: str) -> None:
    publishing = publisher.PikaPublisher(broker_url)
    publishing.wait(publishing.publish(paid(1)))
    broken = publishing._connection
    sock = broken._transport._sock
    sock.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: publishing._attempt > 0 or publishing._connection is not broken, 10, "the loss to be noticed")
    publishing.wait(publishing.publish(paid(2)))
    publishing.close()


def test_word_of_a_discarded_channel_vouches_for_nothing(broker_url: str) -> None:
    publishing = publisher.PikaPublisher(broker_url)
    publishing.wait(publishing.publish(paid(1)))
    pending = publisher._Pending(paid(2))
    old, late = object(), Basic.Ack(delivery_tag=2, multiple=True)

    def answer() -> None:
        publishing._in_flight[2] = pending
        publishing._unanswered += 1
        publishing._on_answer(old, late)  # type: ignore[arg-type]

    publishing._loop.add_callback_threadsafe(answer)
    with pytest.raises(PublishUnconfirmedError):
        publishing.wait(pending.future)
    publishing.close()


def test_event_finds_its_queue_before_its_consumer_has_ever_run(broker_url: str) -> None:
    with Connection(broker_url) as connection:
        connection.default_channel.queue_delete("orders")
        publishing = publisher.connect(broker_url)
        publishing.wait(publishing.publish(paid()))
        publishing.close()
        assert received(connection, "orders") is not None
