"""The consumer: takes messages from the service's queue, has the runner handle them, then acknowledges them.

While the database is away, unacknowledged messages are held (a requeue would use up the delivery limit), no more are
taken, and heartbeats continue.

A redelivered message may have killed its last consumer, and each such death costs every unacknowledged message one of
its deliveries. So a connection starts with one message at a time and takes more after the first message that is not
redelivered. Redelivered messages are handled one by one, after the others are acknowledged.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Message, Queue
from kombu.mixins import ConsumerMixin

from events.database.engine import Database
from events.database.errors import is_away
from events.errors import DecodeError
from events.messaging import topology
from events.messaging.event import Event
from events.messaging.kombu_connection import bytes_of, connect, declare_topology
from events.messaging.runner import Runner
from events.observability.logging import get_logger

PREFETCH_COUNT = 50  # unacknowledged messages: enough to share a transaction, few enough to redeliver after a crash
IDLE_POLL_S = 0.5  # an idle queue's consumer notices a stop or a pause this late
RECONNECT_MAX_DELAY_S = 2  # between attempts to reach a broker that is away
SILENCE_LIMIT_S = 60.0  # after this long without a message, another node is asked whether messages wait
PROBE_TIMEOUT_S = 5  # for the other node's answer

log = get_logger(__name__)


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
        self._unacked: list[Message] = []  # delivered and not yet given to the runner
        self._prefetch_one = True
        self._last_message_at = time.monotonic()
        self.consuming = threading.Event()

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Connect as ConsumerMixin does, but let a stop end the wait for a broker that is away."""

        def check() -> None:
            if self.should_stop:
                raise ConnectionAbortedError("stopping while the broker is away")

        with self.create_connection() as connection:
            connection.ensure_connection(
                self.on_connection_error,
                interval_start=1,
                interval_max=RECONNECT_MAX_DELAY_S,
                callback=check,
                reraise_as_library_errors=False,  # `run` knows the transport's own
            )
            yield connection

    def stop(self) -> None:
        """Make `run` finish the current messages and return."""
        self.should_stop = True

    def get_consumers(self, make: Any, channel: Any) -> list[Any]:
        """Return the queue's consumer, with a prefetch count of one at first. kombu calls this for each connection."""
        self._unacked.clear()  # the broker redelivers an earlier connection's messages
        if self._declare:
            declare_topology(channel)
        self._prefetch_one = True
        self._last_message_at = time.monotonic()
        return [make(queues=[self._queue], on_message=self._unacked.append, prefetch_count=1)]

    def consume(
        self, limit: object = None, timeout: object = None, safety_interval: object = 1, **_: Any
    ) -> Iterator[None]:
        """Process batches until `stop`. Raises the connection's errors, after which `run` reconnects."""
        del limit, timeout, safety_interval
        with self.consumer_context() as (connection, _channel, consumers):
            self.consuming.set()
            try:
                while not self.should_stop:
                    self._receive(connection)
                    if self._unacked:
                        self._last_message_at = time.monotonic()
                    elif time.monotonic() - self._last_message_at > SILENCE_LIMIT_S:
                        self._probe_other_node(connection)
                    redelivered = [_is_redelivered(message) for message in self._unacked]
                    self._process_batch(connection)
                    if self._prefetch_one and redelivered and not any(redelivered):
                        self._raise_prefetch(consumers)
                    if self._is_paused():
                        self._pause(connection, consumers)
                    yield
            finally:
                self.consuming.clear()

    def _receive(self, connection: Connection) -> None:
        """Wait for a message, then collect the ones that are already there."""
        timeout = 0.001 if self._unacked else IDLE_POLL_S
        try:
            while len(self._unacked) < PREFETCH_COUNT:
                connection.drain_events(timeout=timeout)
                timeout = 0 if self._is_memory(connection) else 0.001
        except TimeoutError:
            connection.heartbeat_check()

    def _probe_other_node(self, connection: Connection) -> None:
        """Raise `ConnectionResetError` if another node says that messages wait which this node does not deliver.

        After a network partition a node can drop our consumer while the TCP connection stays open. `run` then
        reconnects to the next node.
        """
        self._last_message_at = time.monotonic()
        if self._is_memory(connection) or not self._ask_next_node_for_messages():
            return
        self._receive(connection)
        if not self._unacked:
            raise ConnectionResetError("messages wait, but this node delivers none")

    def _ask_next_node_for_messages(self) -> bool:
        """Ask the next node, to which new connections go from here on; return False if it does not answer."""
        self.connection.maybe_switch_next()
        try:
            with self.connection.clone(transport_options={"read_timeout": PROBE_TIMEOUT_S}) as other:
                return bool(other.default_channel.queue_declare(self._queue.name, passive=True).message_count)
        except (*self.connection.connection_errors, *self.connection.channel_errors) as error:
            log.warning("cannot ask another node for waiting messages", error=str(error))
            return False

    def _process_batch(self, connection: Connection) -> None:
        batch = self._unacked[:]
        self._unacked.clear()  # it collects the messages that arrive while the batch is held
        readable = [(message, event) for message in batch if (event := self._read(message)) is not None]
        fresh = [pair for pair in readable if not _is_redelivered(pair[0])]
        for together in [fresh, *([pair] for pair in readable if _is_redelivered(pair[0]))]:
            self._process(together, connection)

    def _process(self, readable: list[tuple[Message, Event]], connection: Connection) -> None:
        """Have the messages handled, then acknowledge them; hold them while the database is away."""
        while readable:
            try:
                self._runner.handle([event for _, event in readable])
            except DecodeError as error:
                readable = self._reject_undecodable(readable, error)
                continue
            except Exception as error:
                if not is_away(error):
                    raise
                log.error("database away, holding messages", held=len(readable), error=str(error))
                self._wait_for_database(connection)
                if self.should_stop:
                    break  # unacknowledged: the broker redelivers
                continue
            for message, _ in readable:
                message.ack()
            break

    def _raise_prefetch(self, consumers: list[Any]) -> None:
        """Take up to `PREFETCH_COUNT` messages. The consumers start again, because a new count needs new ones."""
        self._prefetch_one = False
        for consumer in consumers:
            consumer.cancel()
            consumer.qos(prefetch_count=PREFETCH_COUNT)
            consumer.consume()

    def _reject_undecodable(
        self, readable: list[tuple[Message, Event]], error: DecodeError
    ) -> list[tuple[Message, Event]]:
        """Reject the undecodable messages to the dead-letter queue and return the others."""
        kept = []
        for message, event in readable:
            try:
                _ = event.data
                if event.is_stripe:
                    _ = event.object
            except DecodeError as problem:
                _reject(message, problem)
            else:
                kept.append((message, event))
        if len(kept) == len(readable):
            raise error  # a handler raised it about something else: a defect, not a message
        return kept

    def _read(self, message: Message) -> Event | None:
        properties = {"headers": message.headers, **message.properties}
        try:
            key = message.headers.get(topology.ORIGINAL_KEY_HEADER, message.delivery_info["routing_key"])
            return Event.from_delivery(key, properties, bytes_of(message))
        except DecodeError as error:
            _reject(message, error)
            return None

    def _wait_for_database(self, connection: Connection) -> None:
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
        """Take no messages until resumed; the ones that the broker had already sent are handled afterwards."""
        for consumer in consumers:
            consumer.cancel()
        log.info("paused")
        while self._is_paused() and not self.should_stop:
            self._keep_alive(connection)
        for consumer in consumers:
            consumer.consume()
        self._last_message_at = time.monotonic()
        log.info("resumed")

    def _keep_alive(self, connection: Connection) -> None:
        try:
            connection.drain_events(timeout=1)
        except TimeoutError:
            connection.heartbeat_check()

    def _is_memory(self, connection: Connection) -> bool:
        return bool(connection.transport.driver_type == "memory")


def _is_redelivered(message: Message) -> bool:
    return bool(message.delivery_info.get("redelivered"))


def _reject(message: Message, error: DecodeError) -> None:
    log.error("undecodable message rejected to the dead-letter queue", error=str(error))
    message.reject()
