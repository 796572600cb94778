"""A publisher's declaration of the topology, queue by queue: a queue that fails must not keep the others from working.

RabbitMQ refuses a declaration, or does not answer it, if the queue has no majority of its members or exists with other
arguments. The failure is logged and counted, which raises an alert. Every other queue is declared and used.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient
from prometheus_client import Counter

from events.messaging import topology
from events.messaging.topology import QueueSpec
from events.observability.logging import get_logger
from events.observability.metrics import from_zero

ANSWER_TIMEOUT_S = 5.0  # until a declaration without an answer counts as failed
MAX_RETRY_DELAY_S = 60.0  # a queue that cannot be declared may cost a connection: seldom enough for the other queues

DECLARE_FAILURES = Counter("clozit_queue_declare_failures_total", "Failed declarations of a queue", ["queue"])
from_zero(DECLARE_FAILURES, [queue.name for queue in topology.QUEUES])

log = get_logger(__name__)

Then = Callable[[], None]


def report_failure(queue: str, reason: object) -> None:
    """Log and count a queue, or `exchanges`, that could not be declared."""
    DECLARE_FAILURES.labels(queue).inc()
    log.error("queue or exchanges not declared", queue=queue, reason=str(reason))


class Declaration:
    """The declaration of the topology on a publisher's first connection and after `request`. It runs on the I/O thread.

    A queue that cannot be declared is tried again later, with growing delays. An attempt may end the connection: the
    publisher then reconnects and does not wait for this queue.
    """

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}  # by queue, since its last success
        self._due_at: dict[str, float] = {}
        self.request()

    def request(self) -> None:
        """Make the next `run` declare all exchanges and queues again. Queues that failed still wait for their delay."""
        self._exchanges: Sequence[topology.ExchangeSpec] = topology.EXCHANGES
        self._queues = {queue.name: queue for queue in topology.QUEUES}  # those that are not declared

    def run(self, connection: Any, then: Then) -> None:
        """Declare the due exchanges and queues one by one, then call `then`. Do nothing on a closed connection."""
        if not connection.is_open:
            return
        now = time.monotonic()
        due = [queue for name, queue in self._queues.items() if self._due_at.get(name, now) <= now]
        if self._exchanges:
            self._declare(connection, "exchanges", self._declare_exchanges, self._forget_exchanges, then)
        elif due:
            [queue, *_] = due
            self._declare(
                connection, queue.name, partial(_declare_queue, queue), lambda: self._forget_queue(queue.name), then
            )
        else:
            if self._queues:
                next_at = min(self._due_at.values())
                connection.ioloop.call_later(next_at - now, partial(self.run, connection, lambda: None))
            then()

    def _declare(
        self, connection: Any, name: str, declare: Callable[[Channel], None], forget: Then, then: Then
    ) -> None:
        """Declare the exchanges or one queue on a separate channel. Once it closes or fails, declare the next."""

        def on_closed(_channel: Channel, reason: Any) -> None:
            connection.ioloop.remove_timeout(timer)
            if isinstance(reason, ChannelClosedByClient):
                forget()
            else:
                self._fail(name, reason)
            self.run(connection, then)

        def on_open(channel: Channel) -> None:
            channel.add_on_close_callback(on_closed)
            declare(channel)

        def on_timeout() -> None:
            if connection.is_open:  # an answer that comes later must not meet the next part
                part = f"queue {name} was" if name in self._queues else f"the {name} were"
                connection._terminate_stream(TimeoutError(f"RabbitMQ did not answer when {part} declared"))

        timer = connection.ioloop.call_later(ANSWER_TIMEOUT_S, on_timeout)
        connection.channel(on_open_callback=on_open)

    def _declare_exchanges(self, channel: Channel) -> None:
        for exchange in self._exchanges:
            channel.exchange_declare(exchange.name, exchange.type, durable=True, arguments=dict(exchange.arguments))
        channel.close()

    def _forget_exchanges(self) -> None:
        self._exchanges = ()

    def _forget_queue(self, name: str) -> None:
        del self._queues[name]
        self._failures.pop(name, None)
        self._due_at.pop(name, None)

    def _fail(self, name: str, reason: Any) -> None:
        report_failure(name, reason)
        if name not in self._queues:
            if isinstance(reason, ChannelClosedByBroker):  # with other arguments: publishing shows whether it matters
                self._forget_exchanges()
            return
        self._failures[name] = self._failures.get(name, 0) + 1
        self._due_at[name] = time.monotonic() + min(MAX_RETRY_DELAY_S, 2.0 ** self._failures[name])


def _declare_queue(queue: QueueSpec, channel: Channel) -> None:
    def bind(_frame: Any) -> None:
        for exchange_name, key in queue.bindings:
            channel.queue_bind(queue.name, exchange_name, key)
        channel.close()  # answered after the bindings

    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments), callback=bind)
