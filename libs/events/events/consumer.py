"""The consumer: messages come from the service's queue, the runner brings about their effect, then they are acked.

While the database is away the messages in hand stay unacknowledged (a requeue would use up the delivery limit), no
more are taken, and heartbeats go on.

A message that comes again may be what killed its last consumer, and each death costs all messages in hand one of
their deliveries. So a connection begins with one message in hand, and takes more once one comes for the first time;
and whatever comes again is handled alone, after the others are acknowledged.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Exchange, Message, Queue
from kombu.mixins import ConsumerMixin

from events import topology
from events.database import Database, is_away
from events.envelope import Event
from events.errors import Undecodable
from events.runner import Runner
from events.telemetry import get_logger

PREFETCH = 50  # messages in hand: enough to share a transaction, few enough to be redelivered after a crash
HEARTBEAT = 15  # seconds; a dead broker is noticed after two of them
POLL = 0.5  # seconds until a stop or a pause is noticed on an idle queue
RECONNECT = 2  # seconds at most between attempts to reach a broker that is away
SILENCE = 60.0  # seconds without a message after which another node is asked whether some wait
ANSWER_WITHIN = 5  # seconds that it has for this
MEMORY_POLL = 0.01  # seconds between looks into a memory:// queue, which wakes nobody

log = get_logger(__name__)


def connect(broker_url: str) -> Connection:
    """A kombu connection; nothing is opened yet."""
    if broker_url.startswith("memory://"):
        return Connection("memory://localhost", transport_options={"polling_interval": MEMORY_POLL})
    return Connection(broker_url, heartbeat=HEARTBEAT, connect_timeout=5)


def declare_topology(channel: Any) -> None:
    """Declare all of the bus on an open channel; harmless when it is there."""
    exchanges = {
        spec.name: Exchange(spec.name, spec.type, durable=True, arguments=dict(spec.arguments), channel=channel)
        for spec in topology.EXCHANGES
    }
    for exchange in exchanges.values():
        exchange.declare()
    for spec in topology.QUEUES:
        queue = Queue(spec.name, durable=True, queue_arguments=dict(spec.arguments), channel=channel)
        queue.declare()
        for exchange_name, routing_key in spec.bindings:
            queue.bind_to(exchanges[exchange_name], routing_key)


class Consumer(ConsumerMixin):
    """Consumes one service's queue until `stop`."""

    def __init__(
        self,
        broker_url: str,
        service: str,
        database: Database,
        runner: Runner,
        *,
        is_paused: Callable[[], bool],
        declare: bool = True,
    ) -> None:
        self.connection = connect(broker_url)
        self._queue = Queue(service, no_declare=True)
        self._database = database
        self._runner = runner
        self._is_paused = is_paused
        self._declare = declare
        self._in_hand: list[Message] = []
        self._cautious = True
        self._heard = time.monotonic()
        self.consuming = threading.Event()

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """ConsumerMixin's, but a stop ends the waiting for a broker that is away."""

        def check() -> None:
            if self.should_stop:
                raise ConnectionAbortedError("stopping while the broker is away")

        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error,
                interval_start=1,
                interval_max=RECONNECT,
                callback=check,
                reraise_as_library_errors=False,  # `run` knows the transport's own
            )
            yield connection

    def stop(self) -> None:
        """Finish the messages in hand, then return from `run`."""
        self.should_stop = True

    def get_consumers(self, make: Any, channel: Any) -> list[Any]:
        self._in_hand.clear()  # what an earlier connection brought will be delivered again
        if self._declare:
            declare_topology(channel)
        self._cautious = True
        self._heard = time.monotonic()
        return [make(queues=[self._queue], on_message=self._in_hand.append, prefetch_count=1)]

    def consume(
        self, limit: object = None, timeout: object = None, safety_interval: object = 1, **_: Any
    ) -> Iterator[None]:
        """ConsumerMixin's inner loop, with batches. Leaves by the connection's errors, which `run` mends."""
        del limit, timeout, safety_interval
        with self.consumer_context() as (connection, _channel, consumers):
            self.consuming.set()
            try:
                while not self.should_stop:
                    self._take(connection)
                    if self._in_hand:
                        self._heard = time.monotonic()
                    elif time.monotonic() - self._heard > SILENCE:
                        self._doubt(connection)
                    came_again = [_came_again(message) for message in self._in_hand]
                    self._settle(connection)
                    if self._cautious and came_again and not any(came_again):
                        self._take_more(consumers)
                    if self._is_paused():
                        self._pause(connection, consumers)
                    yield
            finally:
                self.consuming.clear()

    def _take(self, connection: Connection) -> None:
        """Wait for a message, then take what is there without waiting."""
        timeout = 0.001 if self._in_hand else POLL
        try:
            while len(self._in_hand) < PREFETCH:
                connection.drain_events(timeout=timeout)
                timeout = 0 if self._is_memory(connection) else 0.001
        except TimeoutError:
            connection.heartbeat_check()

    def _doubt(self, connection: Connection) -> None:
        """A cluster's node that was cut off and is back may have forgotten us, and its connection looks well for ever.

        Raises `ConnectionResetError` when messages wait and none comes; `run` goes to the next node then.
        """
        self._heard = time.monotonic()
        if self._is_memory(connection) or not self._messages_wait():
            return
        self._take(connection)
        if not self._in_hand:
            raise ConnectionResetError("messages wait, and this node sends none")

    def _messages_wait(self) -> bool:
        """As the next node sees it: the one that new connections begin with from here on."""
        self.connection.maybe_switch_next()
        try:
            with self.connection.clone(transport_options={"read_timeout": ANSWER_WITHIN}) as other:
                return bool(other.default_channel.queue_declare(self._queue.name, passive=True).message_count)
        except (*self.connection.connection_errors, *self.connection.channel_errors) as error:
            log.warning("no node says whether messages wait", error=str(error))
            return False

    def _settle(self, connection: Connection) -> None:
        batch = self._in_hand[:]
        self._in_hand.clear()  # from here on it takes what comes while the batch is held
        readable = [(message, event) for message in batch if (event := self._read(message)) is not None]
        fresh = [pair for pair in readable if not _came_again(pair[0])]
        for together in [fresh, *([pair] for pair in readable if _came_again(pair[0]))]:
            self._bring_about(together, connection)

    def _bring_about(self, readable: list[tuple[Message, Event]], connection: Connection) -> None:
        while readable:
            try:
                self._runner.handle([event for _, event in readable])
            except Undecodable as error:
                readable = self._without_undecodable(readable, error)
                continue
            except Exception as error:
                if not is_away(error):
                    raise
                log.error("database away, holding messages", held=len(readable), error=str(error))
                self._hold(connection)
                if self.should_stop:
                    break  # unacknowledged: the broker redelivers
                continue
            for message, _ in readable:
                message.ack()
            break

    def _take_more(self, consumers: list[Any]) -> None:
        """A new prefetch count holds for new consumers."""
        self._cautious = False
        for consumer in consumers:
            consumer.cancel()
            consumer.qos(prefetch_count=PREFETCH)
            consumer.consume()

    def _without_undecodable(
        self, readable: list[tuple[Message, Event]], error: Undecodable
    ) -> list[tuple[Message, Event]]:
        """Reject what cannot be decoded to the dead queue, keep the rest."""
        kept = []
        for message, event in readable:
            try:
                _ = event.data
                if event.is_stripe:
                    _ = event.object
            except Undecodable as problem:
                _reject(message, problem)
            else:
                kept.append((message, event))
        if len(kept) == len(readable):
            raise error  # a handler says so of something else: a defect, not a message
        return kept

    def _read(self, message: Message) -> Event | None:
        properties = {"headers": message.headers, **message.properties}
        try:
            key = message.headers.get(topology.RETURNED_KEY, message.delivery_info["routing_key"])
            return Event.received(key, properties, bytes_of(message))
        except Undecodable as error:
            _reject(message, error)
            return None

    def _hold(self, connection: Connection) -> None:
        """Keep the connection alive until the database answers or the process stops."""
        while not self.should_stop:
            try:
                self._database.ping()
            except Exception as error:
                if not is_away(error):
                    raise
            else:
                log.info("database back")
                return
            self._keep_alive(connection)

    def _pause(self, connection: Connection, consumers: list[Any]) -> None:
        """Take nothing until resumed; what the broker had already sent stays in hand and is handled after."""
        for consumer in consumers:
            consumer.cancel()
        log.info("paused")
        while self._is_paused() and not self.should_stop:
            self._keep_alive(connection)
        for consumer in consumers:
            consumer.consume()
        self._heard = time.monotonic()
        log.info("resumed")

    def _keep_alive(self, connection: Connection) -> None:
        try:
            connection.drain_events(timeout=1)
        except TimeoutError:
            connection.heartbeat_check()

    def _is_memory(self, connection: Connection) -> bool:
        return bool(connection.transport.driver_type == "memory")


def _came_again(message: Message) -> bool:
    return bool(message.delivery_info.get("redelivered"))


def bytes_of(message: Message) -> bytes:
    """The body as it was published; kombu's memory transport hands text back for it."""
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)


def _reject(message: Message, error: Undecodable) -> None:
    log.error("undecodable message sent to the dead queue", error=str(error))
    message.reject()
