"""The embedded bus: kombu's `memory://` transport, within one process. It ends with the process."""

import threading
from concurrent.futures import Future

from kombu import Exchange, Producer

from events.errors import PublishUnconfirmedError, UnpublishableError
from events.messaging import topology
from events.messaging.event import Event
from events.messaging.kombu_connection import connect, declare_topology
from events.messaging.pika_connection import encode


class MemoryPublisher:
    """A `Publisher` for `memory://`: the event is in its queues when `publish` returns."""

    def __init__(self, broker_url: str) -> None:
        self._connection = connect(broker_url)
        self._lock = threading.Lock()  # a kombu channel belongs to one thread at a time
        self._closed = False
        declare_topology(self._connection.default_channel)
        self._producer = Producer(self._connection.default_channel)

    def publish(self, event: Event) -> "Future[None]":
        """Put the event into its queues, see `Publisher.publish`."""
        future: Future[None] = Future()
        if self._closed:
            future.set_exception(PublishUnconfirmedError("the publisher is shutting down"))
            return future
        try:
            encode(event)  # what RabbitMQ could not carry fails here, too
        except UnpublishableError as error:
            future.set_exception(error)
            return future
        properties = event.properties()
        routed = topology.is_routed(event.routing_key)  # this transport has no alternate exchange
        with self._lock:
            self._producer.publish(
                event.body,
                exchange=Exchange(topology.EVENTS if routed else topology.UNROUTED, no_declare=True),
                routing_key=event.routing_key,
                headers=properties.pop("headers"),
                content_type=properties.pop("content_type"),
                content_encoding="binary",
                **{name: value for name, value in properties.items() if name != "content_encoding"},
            )
        future.set_result(None)
        return future

    def wait(self, *futures: "Future[None]") -> None:
        """Return, or raise the first error, without waiting: each event is already stored or rejected."""
        for future in futures:
            future.result()

    def check(self) -> None:
        """Raise `PublishUnconfirmedError` after `close`."""
        if self._closed:
            raise PublishUnconfirmedError("the publisher is shutting down")

    def close(self) -> None:
        """Reject new events and close the connection."""
        self._closed = True
        self._connection.release()
