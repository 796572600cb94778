"""The embedded bus: kombu's `memory://` transport, within one process and for as long as it lives."""

import threading
from concurrent.futures import Future

from kombu import Exchange, Producer

from events import topology
from events.consumer import connect, declare_topology
from events.envelope import Event
from events.errors import Unpublished


class MemoryPublisher:
    """`Publisher` over `memory://`: what is published is in its queues when `publish` returns."""

    def __init__(self, broker_url: str) -> None:
        self._connection = connect(broker_url)
        self._lock = threading.Lock()  # a kombu channel belongs to one thread at a time
        self._closed = False
        declare_topology(self._connection.default_channel)
        self._producer = Producer(self._connection.default_channel)

    def publish(self, event: Event) -> "Future[None]":
        future: Future[None] = Future()
        if self._closed:
            future.set_exception(Unpublished("shutting down"))
            return future
        properties = event.properties()
        routed = bool(topology.queues_for(event.routing_key))  # this transport knows no alternate exchange
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

    def wait(self, future: "Future[None]") -> None:
        future.result()

    def check(self) -> None:
        if self._closed:
            raise Unpublished("shutting down")

    def close(self) -> None:
        self._closed = True
        self._connection.release()
