"""The consumer: takes messages from the service's queue, has the runner handle them, then acknowledges them.

    connecting ─▶ consuming ─▶ holding      the database is away, or a row is locked
        │  ▲          │  ▲        │
        │  │          │  └────────┤ the database is back, the row free
        ▼  │          ▼           ▼ after `HOLD_LIMIT_S`
       resting ◀──────┴───────────┘         takes nothing and holds nothing, until `gate` opens

The runner works on a thread of its own. So heartbeats and a stop never wait for a database that does not answer.

A requeue and a lost connection count as deliveries, of which a message has few. So messages are held while the database
is away. RabbitMQ closes a consumer that holds a message for 30 minutes, and that counts, too. So after `HOLD_LIMIT_S`
the messages are released: a copy goes to the end of the queue, and the original is acknowledged. A locked row concerns
few messages. So each message of the batch is handled alone, and those that need the row are released together after at
most `LOCK_HOLD_LIMIT_S`: other messages must not wait for the database session that locks the row.

A redelivered message may have killed its last consumer, and each such death costs every unacknowledged message one of
its deliveries. So a connection starts with one message at a time and takes more after the first message that is not
redelivered. Redelivered messages are handled one by one, after the others are acknowledged.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from kombu import Connection, Message, Queue
from kombu.mixins import ConsumerMixin

from events.clock import utcnow
from events.database.engine import Database
from events.database.errors import is_locked, is_unavailable
from events.errors import DecodeError
from events.messaging import deliveries
from events.messaging.background import Background
from events.messaging.event import Event
from events.messaging.kombu_connection import BusDeclaration, connect, dropped_on_error
from events.messaging.queue_progress import QueueProgress
from events.messaging.runner import Runner
from events.observability.logging import get_logger

PREFETCH_COUNT = 50  # unacknowledged messages: enough to share a transaction, few enough to redeliver after a crash
IDLE_POLL_S = 0.5  # an idle queue's consumer notices a stop or a pause this late
RECONNECT_MAX_DELAY_S = 2  # between attempts to reach a broker that is away
SILENCE_LIMIT_S = 30.0  # after this long without a message, another node is asked whether messages wait
KEEP_ALIVE_S = 1.0  # between two looks at the connection while something else is waited for
HOLD_LIMIT_S = 240.0  # RabbitMQ advises against a consumer timeout of less than five minutes
LOCK_HOLD_LIMIT_S = 10.0  # for a row that another database session locks: a lost host's ends after 20 s
STUCK_AFTER_S = 10.0  # without a step the consumer counts as stuck: longer than the broker may take for an answer
STOP_WAIT_S = 5.0  # a stop waits this long for the current messages; the broker redelivers them afterwards

CONNECTING, CONSUMING, PAUSED = "connecting to the broker", "consuming", "paused"

Result = TypeVar("Result")

log = get_logger(__name__)


class _HeldTooLongError(Exception):
    """The hold limit has passed: release the messages."""


class _StoppingError(Exception):
    """A stop was requested while the consumer waits for the broker or the gate, or a call did not end in time."""


class Consumer(ConsumerMixin):
    """The consumer of one service's queue: `run` works on the caller's thread until another thread calls `stop`."""

    def __init__(
        self,
        broker_url: str,
        service: str,
        database: Database,
        runner: Runner,
        *,
        gate: Callable[[], str | None],
        is_paused: Callable[[], bool],
        declare: bool = True,
    ) -> None:
        """Prepare a consumer. `gate` returns why no message may be taken now, or None. It may ask the database.

        `is_paused` returns True if the service was paused when that was last read. It must not block.
        """
        self.connection = connect(broker_url)
        self._queue = Queue(service, no_declare=True)
        self._database = database
        self._runner = runner
        self._gate = gate
        self._is_paused = is_paused
        self._declares, self._declaration = declare, BusDeclaration()
        if declare:
            self._declaration.request()
        self.background = Background(f"{service}-handler")
        self._consumers: list[Any] = []  # kombu's, of the current connection
        self._unacked: list[Message] = []  # delivered and not yet given to the runner
        self._batch: list[Message] = []  # given to the runner
        self._prefetch_one = True
        self._last_message_at = time.monotonic()
        self._ticked_at = time.monotonic()
        self.progress = QueueProgress()
        self._stop_by: float | None = None
        self._state = CONNECTING
        self.consuming = threading.Event()

    def check(self) -> None:
        """Raise `RuntimeError` with the reason while no messages are taken, unless an operator paused the service."""
        silent_s = time.monotonic() - self._ticked_at
        if silent_s > STUCK_AFTER_S and self._state in (CONSUMING, PAUSED):
            raise RuntimeError(f"the consumer has not responded for {silent_s:.0f} s")
        if self._state not in (CONSUMING, PAUSED):
            raise RuntimeError(f"not consuming: {self._state}")

    def run(self, _tokens: int = 1, **options: Any) -> None:
        """Consume until `stop`; reconnect after every lost connection."""
        try:
            super().run(_tokens, **options)
        finally:
            self._state = "stopped"
            self.background.close()

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Connect, declare the bus if requested, and wait until the gate opens. A stop ends each wait."""

        def check() -> None:
            if self.should_stop:
                raise _StoppingError("no messages are being taken")

        with self.create_connection() as connection, dropped_on_error(connection):
            connection.ensure_connection(
                self.on_connection_error,
                interval_start=1,
                interval_max=RECONNECT_MAX_DELAY_S,
                callback=check,
                reraise_as_library_errors=False,  # `run` knows the transport's own
            )
            self._declaration.run(connection)
            self._rest(connection)
            check()
            yield connection

    @contextmanager
    def extra_context(self, connection: Connection, channel: Any) -> Iterator[None]:
        """Consume in this block. Afterwards, kombu cancels the consumers and closes the channel and the connection.

        After an error, kombu does not wait for the broker's answers. At a stop, it waits at most until `_stop_by`.
        """
        with dropped_on_error(connection):
            yield
            if self._stop_by is not None and channel.connection is not None:
                channel.connection.answer_timeout_s = max(0.0, self._stop_by - time.monotonic())

    def stop(self) -> None:
        """Make `run` finish the current messages and return. It waits for their handlers at most `STOP_WAIT_S`."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + STOP_WAIT_S
        self.should_stop = True

    def get_consumers(self, make: Any, channel: Any) -> list[Any]:
        """Return the queue's consumer, with a prefetch count of one at first. kombu calls this for each connection."""
        del channel
        self._unacked.clear()  # the broker redelivers an earlier connection's messages
        self._prefetch_one = True
        self._last_message_at = time.monotonic()
        self._consumers = [make(queues=[self._queue], on_message=self._unacked.append, prefetch_count=1)]
        return self._consumers

    def consume(
        self, limit: object = None, timeout: object = None, safety_interval: object = 1, **_: Any
    ) -> Iterator[None]:
        """Process batches until `stop`. Raises the connection's errors, after which `run` reconnects."""
        del limit, timeout, safety_interval
        try:
            with self.consumer_context() as (connection, _channel, _consumers):
                self._state = CONSUMING
                self.consuming.set()
                while not self.should_stop:
                    self._take(connection)
                    yield
        except _StoppingError as stopping:
            log.info("consumer stops", reason=str(stopping))
        except self.connection.channel_errors:
            if self._declares:
                self._declaration.request()  # the queue may be missing, as on a new broker
            raise
        finally:
            self._state = CONNECTING
            self.consuming.clear()

    def _take(self, connection: Connection) -> None:
        """Take some messages and have them handled, or rest."""
        self._receive(connection)
        if self._unacked:
            self._last_message_at = time.monotonic()
        elif time.monotonic() - self._last_message_at > SILENCE_LIMIT_S:
            self._probe_other_node(connection)
        if self._prefetch_one and self._unacked and not any(map(deliveries.is_redelivered, self._unacked)):
            self._raise_prefetch()
        try:
            self._process_batch(connection)
        except _HeldTooLongError:
            self._release_and_rest(connection)
        else:
            if self._is_paused():
                self._release_and_rest(connection)

    def _receive(self, connection: Connection) -> None:
        """Wait for a message, then collect the ones that are already there."""
        self._ticked_at = time.monotonic()
        began_at = utcnow()
        timeout = 0.001 if self._unacked else IDLE_POLL_S
        try:
            while len(self._unacked) < PREFETCH_COUNT:
                connection.drain_events(timeout=timeout)
                timeout = 0 if self._is_memory(connection) else 0.001
        except TimeoutError:
            connection.heartbeat_check()
            if not self._unacked:  # none came within `IDLE_POLL_S`
                self.progress.note_empty(began_at)

    def _probe_other_node(self, connection: Connection) -> None:
        """Raise `ConnectionResetError` if another node says that the queue has messages, but this node delivers none.

        After a network partition a node can drop our consumer while the TCP connection stays open. `run` then
        reconnects to the next node.
        """
        self._last_message_at = time.monotonic()
        if self._is_memory(connection) or not self._ask_next_node_for_messages():
            return
        self._receive(connection)
        if not self._unacked:
            raise ConnectionResetError(f"queue {self._queue.name} has messages, but this node delivers none")

    def _ask_next_node_for_messages(self) -> bool:
        """Return True if the next node says that the queue has messages, and False if it does not answer.

        From now on, new connections go to that node.
        """
        self.connection.maybe_switch_next()
        try:
            with self.connection.clone() as other:
                other.ensure_connection(max_retries=0, reraise_as_library_errors=False)
                return bool(other.default_channel.queue_declare(self._queue.name, passive=True).message_count)
        except (*self.connection.connection_errors, *self.connection.channel_errors) as error:
            log.warning("could not ask another node whether the queue has messages", error=str(error))
            return False

    def _process_batch(self, connection: Connection) -> None:
        batch = self._batch = self._unacked[:]
        self._unacked.clear()  # it collects the messages that arrive while the batch is handled or held
        self.process(batch, connection)

    def process(self, batch: Sequence[Message], connection: Connection) -> None:
        """Have delivered messages handled, then acknowledge them. Keep `connection` alive meanwhile.

        Reject the undecodable ones, and hold the others while the database is away or a row is locked. Raises
        `_HeldTooLongError` after `HOLD_LIMIT_S`, and the connection's errors.
        """
        readable = [(message, event) for message in batch if (event := deliveries.read(message)) is not None]
        fresh = [pair for pair in readable if not deliveries.is_redelivered(pair[0])]
        for together in [fresh, *([pair] for pair in readable if deliveries.is_redelivered(pair[0]))]:
            self._process(together, connection)

    def _process(self, readable: list[tuple[Message, Event]], connection: Connection) -> None:
        """Have the messages handled, then acknowledge them; hold them while the database is away or a row locked.

        Raises `_HeldTooLongError` when they were held for `HOLD_LIMIT_S`. Those for a locked row are released earlier.
        A batch of the memory broker, whose messages cannot be released, waits for the row as a whole.
        """
        held_since, is_memory = None, self._is_memory(connection)
        while readable:
            events = [event for _, event in readable]
            try:
                self._run_aside(lambda events=events: self._runner.handle(events), connection)  # type: ignore[misc]
            except DecodeError as error:
                readable = deliveries.reject_undecodable(readable, error)
                continue
            except Exception as error:
                if not is_unavailable(error):
                    raise
                if is_locked(error) and len(readable) > 1 and not is_memory:
                    locked = self._process_apart(readable, connection)
                    self._release(connection, [message for message, _ in locked])
                    break
                what = "row locked by another database session" if is_locked(error) else "database away"
                log.error(f"{what}, holding messages", held=len(readable), error=str(error))
                held_since = held_since or time.monotonic()
                if is_locked(error) and time.monotonic() - held_since > LOCK_HOLD_LIMIT_S and not is_memory:
                    self._release(connection, [message for message, _ in readable])
                    break
                self._wait_for_database(connection, until=held_since + HOLD_LIMIT_S)
                if self.should_stop:
                    break  # unacknowledged: the broker redelivers
                continue
            self._acknowledge(readable)
            break

    def _process_apart(
        self, readable: list[tuple[Message, Event]], connection: Connection
    ) -> list[tuple[Message, Event]]:
        """Have each message handled alone, then acknowledge it. Return those that need a locked row.

        All of them together wait for locks for at most `LOCK_HOLD_LIMIT_S`. If the database goes away, the messages
        that are not handled yet are returned, too.
        """
        locked: list[tuple[Message, Event]] = []
        lock_timeout_s = LOCK_HOLD_LIMIT_S / PREFETCH_COUNT
        for done, (message, event) in enumerate(readable):
            self._check_stop()
            try:
                self._run_aside(partial(self._runner.handle_one, event, lock_timeout_s), connection)
            except DecodeError as error:
                deliveries.reject_undecodable([(message, event)], error)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                if not is_locked(error):
                    return [*locked, *readable[done:]]
                locked.append((message, event))
            else:
                self._acknowledge([(message, event)])
        return locked

    def _acknowledge(self, handled: list[tuple[Message, Event]]) -> None:
        """Acknowledge handled messages. If the service is paused, cancel the consumers first.

        Each acknowledgment lets the broker send another message. A message on its way to a canceled consumer goes back
        to the queue, and the broker counts that as a delivery.
        """
        if self._is_paused():
            self._cancel()
        for message, _ in handled:
            message.ack()
        self.progress.note_handled(event for _, event in handled)

    def _cancel(self) -> None:
        for consumer in self._consumers:
            consumer.cancel()

    def _run_aside(self, call: Callable[[], Result], connection: Connection) -> Result:
        """Run a call on the background thread, since it may block, and keep the connection alive meanwhile.

        Raises the call's error, the connection's, and `_StoppingError`.
        """
        self._ticked_at = time.monotonic()
        future = self.background.submit(call)
        try:
            while not wait([future], timeout=KEEP_ALIVE_S).done:
                self._check_stop()
                self._keep_alive(connection, 0.001)
        except BaseException:
            future.add_done_callback(_log_abandoned)
            raise
        return future.result()

    def _check_stop(self) -> None:
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            raise _StoppingError("the current work takes too long; the broker redelivers unacknowledged messages")

    def _raise_prefetch(self) -> None:
        """Take up to `PREFETCH_COUNT` messages. The consumers start again, because a new count needs new ones.

        Call it before the current message is acknowledged: no other one is on the wire then.
        """
        self._prefetch_one = False
        self._cancel()
        for consumer in self._consumers:
            consumer.qos(prefetch_count=PREFETCH_COUNT)
            consumer.consume()

    def _wait_for_database(self, connection: Connection, until: float) -> None:
        """Keep the connection alive until the database answers or the process stops.

        Raises `_HeldTooLongError` at `until`.
        """
        while not self.should_stop:
            if time.monotonic() > until and not self._is_memory(connection):
                raise _HeldTooLongError
            try:
                self._run_aside(self._database.ping, connection)
            except Exception as error:
                if not is_unavailable(error):
                    raise
            else:
                log.info("database answers, held messages are tried again")
                return
            self._keep_alive(connection, KEEP_ALIVE_S)

    def _release_and_rest(self, connection: Connection) -> None:
        """Take no messages and hold none until the gate opens."""
        self._cancel()
        if not self._is_memory(connection):  # it has no timeout, and its messages cannot be copied one by one
            self._release(connection, [*self._batch, *self._unacked])
            self._unacked.clear()
        self._rest(connection)
        for consumer in self._consumers:
            consumer.consume()
        self._state = CONSUMING
        self._last_message_at = time.monotonic()

    def _release(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Put a copy of each unacknowledged message at the end of the queue, then acknowledge the message.

        A crash in between leaves both, and the inbox makes the second one harmless.
        """
        held = [message for message in messages if not message.acknowledged]
        if held:
            self.progress.note_released()
        for message in held:
            deliveries.publish_copy(connection, message, self._queue.name)
            message.ack()
        if held:
            log.warning("messages released: their copies are at the end of the queue", released=len(held))

    def _rest(self, connection: Connection) -> None:
        """Keep the connection alive until the gate opens or the process stops."""
        while not self.should_stop and (reason := self._run_aside(self._gate, connection)) is not None:
            if reason != self._state:
                log.warning("taking no messages", reason=reason)
            self._state = reason
            self._keep_alive(connection, KEEP_ALIVE_S)

    def _keep_alive(self, connection: Connection, wait_s: float) -> None:
        """Send and receive heartbeats; messages that arrive are kept for later."""
        self._ticked_at = time.monotonic()
        try:
            while True:
                connection.drain_events(timeout=wait_s)
                wait_s = 0.001
        except TimeoutError:
            connection.heartbeat_check()

    def _is_memory(self, connection: Connection) -> bool:
        return bool(connection.transport.driver_type == "memory")


def _log_abandoned(future: "Future[Any]") -> None:
    if error := future.exception():
        log.error(
            "a call failed after the consumer stopped waiting for it; the broker redelivers unacknowledged messages",
            error=str(error),
        )
