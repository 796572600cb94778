"""Dead letters of one service: list the messages in `<service>.dead`, requeue or delete them.

To read a message is to take it without an ack. Closing the connection puts back every message that was not acked.
The broker needs a moment to put a message back or to dead-letter it: 0.4 to 3.2 ms after the close on an idle
RabbitMQ 4, more on a busy one. Until then, its count leaves the message out. So a count is used only once it is stable.
A requeued message is acked only after the broker has confirmed the copy in the service's queue. A crash in between
leaves both messages. If both reach the service, its inbox ignores the second.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from events.messaging import topology
from events.messaging.event import deaths_of, original_routing_key
from events.messaging.pika_connection import node_parameters

BROKER_TIMEOUT_S = 10  # for a blocked or silent broker: an operator waits for the answer
EMPTY_AFTER_S = 2.0  # without a message for this long, a queue is reported as empty: a wrong "empty" would mislead
STABLE_FOR_S = 0.1  # a count is used once it has not changed for this long


@dataclass(frozen=True)
class DeadLetter:
    """One dead letter. `reference` is the message's id or, without one, `body:` and the start of the body's SHA-256.

    `reason`, `died_at` and `deaths` are of the oldest entry in its header `x-death`.
    """

    reference: str
    routing_key: str
    reason: str
    died_at: str
    deaths: int
    properties: dict[str, Any]
    headers: dict[str, Any]
    body: bytes = field(repr=False)
    delivery_tag: int = field(repr=False)


class DeadLetterQueue:
    """An open connection to one service's dead-letter queue."""

    def __init__(self, service: str, channel: BlockingChannel) -> None:
        self._service, self._channel, self._queue = service, channel, topology.dead_letter_queue(service)

    def messages(self) -> Iterator[DeadLetter]:
        """Yield the dead letters that are there now, oldest first; later ones are left for the next call."""
        for _ in range(self._stable_count()):
            method, properties, body = self._channel.basic_get(self._queue)
            if method is None:
                return
            yield _read(method, properties, body)

    def _stable_count(self) -> int:
        until, before = time.monotonic() + EMPTY_AFTER_S, 0
        while True:
            ready: int = self._channel.queue_declare(self._queue, passive=True).method.message_count
            if (ready and ready == before) or time.monotonic() >= until:
                return ready
            before = ready
            self._channel.connection.sleep(STABLE_FOR_S)

    def requeue(self, message: DeadLetter, audit: Callable[[], None]) -> None:
        """Publish the message to the service's queue, call `audit`, then acknowledge it in the dead-letter queue.

        Raises pika's errors when the broker does not confirm; the dead letter then stays.
        """
        headers = topology.headers_of_copy(message.headers, message.routing_key)
        properties = pika.BasicProperties(**message.properties, headers=headers)
        self._channel.basic_publish("", self._service, message.body, properties, mandatory=True)
        audit()
        self._channel.basic_ack(message.delivery_tag)

    def delete(self, message: DeadLetter, audit: Callable[[], None]) -> None:
        """Call `audit` to record the deletion, then acknowledge the message, which deletes it."""
        audit()
        self._channel.basic_ack(message.delivery_tag)


@contextmanager
def open_dead_letters(broker_url: str, service: str) -> Iterator[DeadLetterQueue]:
    """Open the service's dead-letter queue for a block. Messages that the block does not acknowledge are put back.

    Raises pika's `AMQPError` if the broker is away or refuses.
    """
    nodes = node_parameters(broker_url)
    for parameters in nodes:
        parameters.heartbeat = parameters.blocked_connection_timeout = parameters.stack_timeout = BROKER_TIMEOUT_S
    try:
        connection = pika.BlockingConnection(nodes)
    except OSError as error:  # a host without an address, or TLS that fails
        raise pika.exceptions.AMQPConnectionError(str(error)) from error
    with connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield DeadLetterQueue(service, channel)


def _read(method: Any, sent: pika.BasicProperties, body: bytes) -> DeadLetter:
    headers: dict[str, Any] = dict(sent.headers or {})
    first: Mapping[str, Any] = next(reversed(deaths_of(headers)), {})
    died_at, count = first.get("time"), first.get("count")
    return DeadLetter(
        reference=sent.message_id or f"body:{hashlib.sha256(body).hexdigest()[:16]}",
        routing_key=original_routing_key(method.exchange, method.routing_key, sent.type, headers),
        reason=str(first.get("reason", "unknown")),
        died_at=died_at.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(died_at, datetime) else "unknown",
        deaths=count if isinstance(count, int) else 0,
        properties={name: value for name, value in vars(sent).items() if value is not None and name != "headers"},
        headers=headers,
        body=body,
        delivery_tag=method.delivery_tag,
    )
