"""Dead messages of one service: what lies in `<service>.dead`, returned to the service's queue or dropped.

A message is read by taking it without an acknowledgement; closing the connection puts back whatever was not settled.
The broker does that, and dead-lettering, a moment later, and counts meanwhile only what is ready to be taken: 0.4 to
3.2 ms after the close on an idle RabbitMQ 4, more on a busy one. So a count is believed once it has settled.
A return is acknowledged only once the broker has confirmed the copy in the service's queue: a crash between leaves
both, and the inbox makes the second harmless.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from events import topology
from events.publisher import nodes

DEADLINE = 10  # seconds that a broker may block or be silent
EMPTY_AFTER = (
    2.0  # seconds without a message until a dead queue is called empty: an operator must not be told so wrongly
)
STEADY_FOR = 0.1  # seconds in which a count must not change to be believed
BROKERS_OWN = ("x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-acquired-count")


@dataclass(frozen=True)
class DeadMessage:
    """`reference` is the message's id, or, where it bears none, `body:` and the start of its SHA-256."""

    reference: str
    routing_key: str
    reason: str
    died_at: str
    deaths: int
    properties: dict[str, Any]
    headers: dict[str, Any]
    body: bytes = field(repr=False)
    delivery_tag: int = field(repr=False)


class DeadQueue:
    """Open on one service's dead queue."""

    def __init__(self, service: str, channel: BlockingChannel) -> None:
        self._service, self._channel, self._queue = service, channel, topology.dead_queue(service)

    def messages(self) -> Iterator[DeadMessage]:
        """Those that lie there now, the oldest first; what dies meanwhile is left for the next time."""
        for _ in range(self._count()):
            method, properties, body = self._channel.basic_get(self._queue)
            if method is None:
                return
            yield _read(method, properties, body)

    def _count(self) -> int:
        """How many are ready, once that has settled."""
        until, before = time.monotonic() + EMPTY_AFTER, 0
        while True:
            ready: int = self._channel.queue_declare(self._queue, passive=True).method.message_count
            if (ready and ready == before) or time.monotonic() >= until:
                return ready
            before = ready
            self._channel.connection.sleep(STEADY_FOR)

    def give_back(self, message: DeadMessage, note: Callable[[], None]) -> None:
        """Publish to the service's queue, `note` it, forget the dead one. Raises pika's errors when unconfirmed."""
        headers = {key: value for key, value in message.headers.items() if not key.startswith(BROKERS_OWN)}
        headers[topology.RETURNED_KEY] = message.routing_key
        properties = pika.BasicProperties(**message.properties, headers=headers)
        self._channel.basic_publish("", self._service, message.body, properties, mandatory=True)
        note()
        self._channel.basic_ack(message.delivery_tag)

    def drop(self, message: DeadMessage, note: Callable[[], None]) -> None:
        note()
        self._channel.basic_ack(message.delivery_tag)


@contextmanager
def dead_queue(broker_url: str, service: str) -> Iterator[DeadQueue]:
    """The service's dead queue, until the end of the block."""
    candidates = nodes(broker_url)
    for parameters in candidates:
        parameters.heartbeat = parameters.blocked_connection_timeout = parameters.stack_timeout = DEADLINE
    with pika.BlockingConnection(candidates) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield DeadQueue(service, channel)


def _read(method: Any, sent: pika.BasicProperties, body: bytes) -> DeadMessage:
    headers: dict[str, Any] = dict(sent.headers or {})
    first = (headers.get("x-death") or [{}])[-1]
    died_at = first.get("time")
    key = headers.get(topology.RETURNED_KEY) or next(iter(first.get("routing-keys") or [method.routing_key]))
    return DeadMessage(
        reference=sent.message_id or f"body:{hashlib.sha256(body).hexdigest()[:16]}",
        routing_key=str(key),
        reason=str(first.get("reason", "unknown")),
        died_at=died_at.strftime("%Y-%m-%dT%H:%M:%SZ") if died_at else "unknown",
        deaths=int(first.get("count", 0)),
        properties={name: value for name, value in vars(sent).items() if value is not None and name != "headers"},
        headers=headers,
        body=body,
        delivery_tag=method.delivery_tag,
    )
