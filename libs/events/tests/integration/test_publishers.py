"""Publishers: one suite for pika with RabbitMQ and for the embedded bus."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from events.errors import PublishUnconfirmedError, PublishWindowFullError, UnpublishableError
from events.messaging import publisher as publishers
from events.messaging import topology
from events.messaging.deliveries import bytes_of
from events.messaging.event import Event, own_event
from events.messaging.kombu_connection import connect
from events.messaging.publisher import Publisher
from events.testing.ports import free_port
from events.testing.stripe import as_bus_event, stripe_event
from events.testing.waiting import wait_until
from kombu import Connection
from pika.spec import Basic

pytestmark = pytest.mark.usefixtures("patient_publishers")
SHORT_TIMEOUT_S = 1.0  # of tests in which the broker does not confirm


def canceled(number: int = 1) -> Event:
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
def publisher(url: str) -> Iterator[Publisher]:
    made = publishers.connect(url)
    yield made
    made.close()


@pytest.fixture
def broker(url: str) -> Iterator[Connection]:
    with connect(url) as connection:
        yield connection


def receive(connection: Connection, queue: str) -> Event | None:
    """Take the next message from a queue and return its event; None if the queue is empty."""
    message = connection.default_channel.basic_get(queue, no_ack=True)
    if message is None:
        return None
    message = connection.default_channel.message_to_python(message) if not hasattr(message, "properties") else message
    properties = {"headers": message.headers, **message.properties}
    return Event.from_delivery(message.delivery_info["routing_key"], properties, bytes_of(message))


def outcomes_of(futures: list["Future[None]"]) -> list[BaseException | None]:
    return [future.exception(publishers.CONFIRM_TIMEOUT_S + 1) for future in futures]


def test_confirmed_event_is_unchanged_in_its_queue(publisher: Publisher, broker: Connection) -> None:
    event = canceled()
    publisher.wait(publisher.publish(event))

    delivered = receive(broker, "orders")

    assert delivered is not None
    assert (delivered.id, delivered.routing_key, delivered.source, delivered.correlation_id) == (
        event.id,
        "checkout.checkout.canceled",
        "checkout",
        "chk_1",
    )
    assert delivered.body == event.body
    assert delivered.headers["version"] == 1
    assert delivered.occurred_at == event.occurred_at.replace(microsecond=0)
    assert receive(broker, "inventory") is None


def test_event_without_a_binding_is_kept_as_unrouted(publisher: Publisher, broker: Connection) -> None:
    publisher.wait(publisher.publish(as_bus_event(stripe_event("product.updated", {"id": "prod_1"}))))

    delivered = receive(broker, topology.UNROUTED)
    assert delivered is not None
    assert delivered.type == "product.updated"


def test_concurrent_publishes_are_each_confirmed(publisher: Publisher, broker: Connection) -> None:
    events = [canceled(number) for number in range(150)]
    for future in [publisher.publish(event) for event in events]:
        publisher.wait(future)

    assert {receive(broker, "orders").id for _ in events} == {event.id for event in events}  # type: ignore[union-attr]


def test_closed_publisher_rejects_events(publisher: Publisher) -> None:
    publisher.close()
    with pytest.raises(PublishUnconfirmedError):
        publisher.wait(publisher.publish(canceled()))
    with pytest.raises(PublishUnconfirmedError):
        publisher.check()


@pytest.mark.parametrize("delay_s", [0, 0.001, 0.005, 0.02])
def test_close_while_connecting_ends_the_io_thread(broker_url: str, delay_s: float) -> None:
    """An exception on the I/O thread fails this test, too: warnings are errors."""
    publisher = publishers.connect(broker_url)
    threading.Event().wait(delay_s)
    publisher.close()
    assert not publisher._thread.is_alive()  # type: ignore[attr-defined]


def test_publishes_above_the_window_are_rejected(broker_url: str) -> None:
    publisher = publishers.PikaPublisher(broker_url, window=2)
    try:
        outcomes = outcomes_of([publisher.publish(canceled(number)) for number in range(50)])
    finally:
        publisher.close()
    assert outcomes[:2] == [None, None]
    assert any(isinstance(outcome, PublishWindowFullError) for outcome in outcomes)


def test_unroutable_event_is_not_confirmed(broker_url: str) -> None:
    """Without the alternate exchange's queue the broker returns the message, because it is sent as mandatory."""
    publisher = publishers.connect(broker_url)
    publisher.wait(publisher.publish(canceled()))
    with Connection(broker_url) as connection:
        connection.default_channel.queue_delete(topology.UNROUTED)
        with pytest.raises(PublishUnconfirmedError, match="no queue takes"):
            publisher.wait(publisher.publish(as_bus_event(stripe_event("product.updated", {"id": "prod_1"}))))
    publisher.wait(publisher.publish(canceled()))  # on a new channel, whose declarations restored the queue
    publisher.close()


def test_absent_broker_fails_the_publish_within_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishers, "CONFIRM_TIMEOUT_S", SHORT_TIMEOUT_S)
    publisher = publishers.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert isinstance(publisher.publish(canceled()).exception(SHORT_TIMEOUT_S + 1), PublishUnconfirmedError)
    publisher.close()


def test_close_during_the_handshake_ends_the_io_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publisher = publishers.PikaPublisher(f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/")
        with silent.accept()[0] as accepted:
            assert accepted.recv(4) == b"AMQP"
            publisher.close()
    assert not publisher._thread.is_alive()


def test_stuck_io_thread_does_not_block_the_caller(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the I/O thread is stuck, it never completes the future."""
    publisher = publishers.connect(broker_url)
    monkeypatch.setattr(publishers, "CONFIRM_TIMEOUT_S", 0.01)
    started = time.monotonic()
    with pytest.raises(PublishUnconfirmedError, match="no confirm within"):
        publisher.wait(Future())
    assert time.monotonic() - started < publishers.CALLER_GRACE_S + 5
    publisher.close()


def unencodable() -> list[Event]:
    """Return events whose envelopes AMQP cannot carry, although each field has fewer than 256 characters."""
    long_id, before_1970 = "\u00fc" * 200, datetime(1969, 12, 31, tzinfo=UTC)
    return [
        replace(canceled(), correlation_id=long_id),
        replace(canceled(), id=long_id),
        replace(canceled(), occurred_at=before_1970),
        replace(canceled(), headers={"note": "x" * 10_000}),
    ]


def test_unencodable_event_fails_only_its_own_publish(publisher: Publisher) -> None:
    events = [event for bad in unencodable() for event in (canceled(1), bad, canceled(2))]
    outcomes = outcomes_of([publisher.publish(event) for event in events])
    assert [type(outcome) for outcome in outcomes] == [type(None), UnpublishableError, type(None)] * 4
    publisher.check()


def fail() -> None:
    raise ZeroDivisionError


def test_failed_io_thread_starts_over_with_a_new_connection(broker_url: str) -> None:
    publisher = publishers.PikaPublisher(broker_url)
    for number in range(3):
        publisher.wait(publisher.publish(canceled(number)))
        publisher._loop.add_callback_threadsafe(fail)
        wait_until(lambda: publish_and_confirm(publisher, canceled(100)), 10, "the publisher starts over")
        publisher.check()
    publisher.close()
    assert not publisher._thread.is_alive()


def publish_and_confirm(publisher: Publisher, event: Event) -> bool:
    """Publish an event and wait; return False if the broker did not confirm it."""
    try:
        publisher.wait(publisher.publish(event))
    except PublishUnconfirmedError:
        return False
    return True


def test_failed_io_thread_fails_the_publishes_in_flight(broker_url: str) -> None:
    publisher = publishers.PikaPublisher(broker_url)
    publisher.wait(publisher.publish(canceled(1)))
    pending = publishers._Pending(canceled(2))

    def crash() -> None:
        publisher._in_flight[2] = pending
        publisher._unanswered += 1
        fail()

    publisher._loop.add_callback_threadsafe(crash)
    with pytest.raises(PublishUnconfirmedError, match="ZeroDivisionError"):
        publisher.wait(pending.future)
    publisher.close()


def test_stuck_io_thread_makes_the_process_unready(broker_url: str) -> None:
    publisher, release = publishers.PikaPublisher(broker_url), threading.Event()
    publisher.wait(publisher.publish(canceled(1)))
    publisher.check()
    publisher._loop.add_callback_threadsafe(lambda: release.wait(30))
    wait_until(lambda: "not responded" in unready_reason(publisher), 10, "the publisher reports its stuck thread")
    release.set()
    wait_until(lambda: not unready_reason(publisher), 10, "the publisher is ready again")
    publisher.close()


def unready_reason(publisher: Publisher) -> str:
    try:
        publisher.check()
    except PublishUnconfirmedError as error:
        return str(error)
    return ""


def test_unreachable_node_is_skipped_for_the_next(broker_url: str) -> None:
    publisher = publishers.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/;{broker_url}")
    publisher.wait(publisher.publish(canceled()))
    publisher.close()


def test_long_outage_rejects_publishes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a request that already waited for a free thread would wait a second time, for the broker."""
    monkeypatch.setattr(publishers, "CONFIRM_TIMEOUT_S", SHORT_TIMEOUT_S)
    publisher = publishers.connect(f"amqp://guest:guest@127.0.0.1:{free_port()}/")
    assert not publisher.publish(canceled(1)).done()
    wait_until(
        lambda: publisher.publish(canceled(2)).done(), 2 * publishers.OUTAGE_GRACE_S + 1, "a rejection without waiting"
    )
    publisher.close()


def test_broken_connection_is_replaced_for_the_next_publish(broker_url: str) -> None:
    publisher = publishers.PikaPublisher(broker_url)
    publisher.wait(publisher.publish(canceled(1)))
    broken = publisher._connection
    sock = broken._transport._sock
    sock.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: publisher._attempt > 0 or publisher._connection is not broken, 10, "the publisher reconnects")
    publisher.wait(publisher.publish(canceled(2)))
    publisher.close()


def test_late_ack_of_a_discarded_channel_confirms_nothing(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = publishers.PikaPublisher(broker_url)
    publisher.wait(publisher.publish(canceled(1)))
    monkeypatch.setattr(publishers, "CONFIRM_TIMEOUT_S", SHORT_TIMEOUT_S)
    pending = publishers._Pending(canceled(2))
    discarded, late_ack = object(), Basic.Ack(delivery_tag=2, multiple=True)

    def answer() -> None:
        publisher._in_flight[2] = pending
        publisher._unanswered += 1
        publisher._on_answer(discarded, late_ack)

    publisher._loop.add_callback_threadsafe(answer)
    with pytest.raises(PublishUnconfirmedError):
        publisher.wait(pending.future)
    publisher.close()


def test_event_is_queued_before_its_consumer_first_runs(broker_url: str) -> None:
    with Connection(broker_url) as connection:
        connection.default_channel.queue_delete("orders")
        publisher = publishers.connect(broker_url)
        publisher.wait(publisher.publish(canceled()))
        publisher.close()
        assert receive(connection, "orders") is not None
