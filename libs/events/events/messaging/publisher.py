"""The publisher: a message counts as published once the broker has confirmed it, and not before.

One pika `SelectConnection` runs on one I/O thread. Callers pass a message and wait for its future, so many confirms
are in flight at once. Anything that leaves a message unconfirmed (no answer within the timeout, a nack, a return, a
closed channel) fails that publish and drops the connection, so that all publishes in flight fail: a late ack must never
count for another message.

Callers encode their events, so an event that AMQP cannot carry fails alone. If the I/O thread fails for another reason,
all publishes in flight fail, and the thread starts over with a new connection.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from prometheus_client import Counter, Gauge, Histogram

from events.errors import PublishUnconfirmedError, PublishWindowFullError, UnpublishableError
from events.messaging.declaration import Declaration
from events.messaging.event import Event
from events.messaging.pika_connection import CHANNEL_NUMBER, BufferedConnection, encode, node_parameters
from events.observability.logging import get_logger

CONFIRM_TIMEOUT_S = 3.0  # until an unconfirmed publish fails: Stripe waits longer, a customer should not
CALLER_GRACE_S = 0.3  # a caller waits this much longer, in case the I/O thread itself is stuck
OUTAGE_GRACE_S = 1.0  # callers wait for the broker only at an outage's start. Later ones are rejected at once: they
# may already have waited for a free thread as long as the callers before them waited for the broker
WINDOW_SIZE = 200  # messages in flight: 7,800 to 11,300/s at p99 below 25 ms; a larger window only adds waiting
TICK_S = 0.1  # between checks for expired timeouts
STUCK_AFTER_S = 3.0  # without a tick the I/O thread counts as stuck, and the process as not ready
RECONNECT_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)  # the last one repeats
HEARTBEAT_S = 10  # a dead connection is noticed after two missed heartbeats
CLOSE_TIMEOUT_S = 0.5  # for the broker's answer to a close
NOT_FOUND = 404  # the code with which the broker closes the channel when the exchange is missing
CONNECT_TIMEOUT_S = 3.0  # for TCP, TLS and AMQP together
NOT_SENT = "not sent within the timeout, the broker was not ready"

PUBLISHED = Counter("clozit_messages_published_total", "Messages to publish, by outcome", ["outcome"])
_CONFIRMED, _UNCONFIRMED = PUBLISHED.labels("confirmed"), PUBLISHED.labels("unconfirmed")  # looked up once
IN_FLIGHT = Gauge("clozit_publish_in_flight", "Messages awaiting their confirm", multiprocess_mode="livesum")
LATENCY = Histogram(
    "clozit_publish_duration_seconds",
    "From the call of publish to the confirm",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3),
)

log = get_logger(__name__)


class Publisher(Protocol):
    """The interface of the publishers that `connect` returns."""

    def publish(self, event: Event) -> "Future[None]":
        """Send an event. The future fails with `PublishUnconfirmedError` unless the broker confirms it in time.

        If AMQP cannot carry the event, the returned future has already failed with `UnpublishableError`.
        """

    def wait(self, *futures: "Future[None]") -> None:
        """Return once all events are confirmed.

        Otherwise raises the first `PublishUnconfirmedError`, once all have ended or their common deadline has passed.
        """

    def check(self) -> None:
        """Raise `PublishUnconfirmedError` while nothing can be published."""

    def close(self) -> None:
        """Reject new events, wait for the confirms of those in flight, then disconnect."""


@dataclass(eq=False)
class _Pending:
    event: Event
    envelope: bytes = b""
    future: "Future[None]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)

    @property
    def is_expired(self) -> bool:
        return time.monotonic() - self.since >= CONFIRM_TIMEOUT_S


class PikaPublisher:
    """A `Publisher` for RabbitMQ. All `_on…` methods run on the I/O thread, the public ones on their callers'."""

    def __init__(self, broker_url: str, *, window: int = WINDOW_SIZE, declare: bool = True) -> None:
        self._nodes = cycle(_parameters(broker_url))
        self._window = window
        self._declaration = Declaration() if declare else None
        self._lock = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._unanswered = 0
        IN_FLIGHT.set_function(lambda: self._unanswered)
        self._flush_requested = False
        self._closing = False  # no new publishes
        self._stopping = False  # no new connections
        self._state = "connecting"
        self._away_since: float | None = time.monotonic()  # None while the broker confirms
        self._attempt = 0
        self._loop = IOLoop()
        self._failure = ""  # of the loop, which is then replaced
        self._ticked_at = time.monotonic()
        self._connection: Any = None
        self._channel: Channel | None = None  # None while nothing can be published
        self._in_flight: dict[int, _Pending] = {}  # by delivery tag, oldest first
        self._tag = 0
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, event: Event) -> "Future[None]":
        """Send an event, see `Publisher.publish`."""
        pending = _Pending(event)
        try:
            pending.envelope = encode(event)
        except UnpublishableError as error:
            PUBLISHED.labels("rejected").inc()
            pending.future.set_exception(error)
            return pending.future
        with self._lock:
            if rejection := self._rejection():
                PUBLISHED.labels("rejected").inc()
                pending.future.set_exception(rejection)
                return pending.future
            self._unanswered += 1
            self._queue.append(pending)
            wake, self._flush_requested = not self._flush_requested, True
        if wake:
            self._loop.add_callback_threadsafe(self._on_flush)
        return pending.future

    def _rejection(self) -> PublishUnconfirmedError | None:
        away_since = self._away_since
        if self._closing:
            return PublishUnconfirmedError("the publisher is shutting down")
        if away_since is not None and time.monotonic() - away_since > OUTAGE_GRACE_S:
            return PublishUnconfirmedError(f"the broker is not ready: {self._state}")
        if self._unanswered >= self._window:
            return PublishWindowFullError("too many publishes in flight")
        return None

    def wait(self, *futures: "Future[None]") -> None:
        """Wait for the confirms, see `Publisher.wait`."""
        deadline = time.monotonic() + CONFIRM_TIMEOUT_S + CALLER_GRACE_S
        failure: PublishUnconfirmedError | None = None
        for future in futures:
            try:
                future.result(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                failure = failure or PublishUnconfirmedError(f"no confirm within {CONFIRM_TIMEOUT_S:g} s")
            except PublishUnconfirmedError as error:
                failure = failure or error
        try:
            if failure:
                raise failure
        finally:
            del failure  # its traceback would keep it alive, with all that the callers hold

    def check(self) -> None:
        """Raise `PublishUnconfirmedError` while nothing can be published."""
        silent_s = time.monotonic() - self._ticked_at
        if silent_s > STUCK_AFTER_S:
            raise PublishUnconfirmedError(f"the publisher's I/O thread has not responded for {silent_s:.0f} s")
        if self._state != "ready":
            raise PublishUnconfirmedError(f"the broker is not ready: {self._state}")

    def close(self) -> None:
        """Reject new events, wait for those in flight, disconnect."""
        with self._lock:
            self._closing = True
            if self._unanswered == 0:
                self._idle.set()
        self._idle.wait(CONFIRM_TIMEOUT_S + CALLER_GRACE_S)
        self._loop.add_callback_threadsafe(self._on_stop)
        self._thread.join(CONFIRM_TIMEOUT_S)

    # On the I/O thread from here.

    def _run(self) -> None:
        while not self._serve():
            time.sleep(self._next_delay())

    def _serve(self) -> bool:
        """Run the I/O loop until it is stopped; return False after an unexpected exception."""
        try:
            if self._failure:
                self._start_over(self._failure)
            self._loop.call_later(0, self._on_connect)
            self._loop.call_later(0, self._on_tick)
            self._loop.start()
            self._loop.close()
        except Exception as error:
            log.exception("the publisher's I/O thread failed and starts over")
            self._failure = f"the I/O thread failed: {error!r}"
            return False
        return True

    def _start_over(self, why: str) -> None:
        """Leave the failed loop with its connection, timers and callbacks: none of them can be trusted."""
        self._fail_in_flight(why)
        failed, self._loop = self._loop, IOLoop()
        connection, self._connection = self._connection, None
        self._failure = ""
        if connection is not None:
            connection.discard()
        failed.close()
        if self._closing:  # the request to stop may have gone to the failed loop
            self._loop.call_later(0, self._on_stop)

    def _on_connect(self) -> None:
        if self._stopping:
            return
        self._connection = BufferedConnection(
            next(self._nodes),
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
            custom_ioloop=self._loop,
        )

    def _on_open(self, connection: Any) -> None:
        if self._stopping:
            connection.close()
            return
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        if self._declaration is None:
            self._open_channel(connection)
        else:
            self._declaration.run(connection, lambda: self._open_channel(connection))

    def _open_channel(self, connection: Any) -> None:
        connection.channel(CHANNEL_NUMBER, on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_returned)
        channel.confirm_delivery(
            lambda frame: self._on_answer(channel, frame.method), lambda _frame: self._on_ready(channel)
        )

    def _on_ready(self, channel: Channel) -> None:
        self._channel, self._tag, self._attempt = channel, 0, 0
        self._state, self._away_since = "ready", None
        log.info("publisher ready")
        self._on_flush()

    def _on_flush(self) -> None:
        with self._lock:
            self._flush_requested = False
        channel = self._channel
        if self._queue and channel is not None and channel.is_open and self._state == "ready":
            with self._connection.buffered():
                self._publish_queued()

    def _publish_queued(self) -> None:
        while self._queue:
            pending = self._queue.popleft()
            if pending.is_expired:
                self._fail(pending, NOT_SENT)
                continue
            self._tag += 1
            self._in_flight[self._tag] = pending
            self._connection.send(pending.envelope, pending.event.body)

    def _on_answer(self, channel: Channel, method: Any) -> None:
        if channel is not self._channel:
            return  # a discarded channel's late answer counts for nothing
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._in_flight if tag <= method.delivery_tag]
        answered = [self._in_flight.pop(tag) for tag in tags if tag in self._in_flight]
        if isinstance(method, pika.spec.Basic.Ack):
            now = time.monotonic()
            for pending in answered:
                LATENCY.observe(now - pending.since)
            self._finish(answered)
            return
        for pending in answered:
            self._fail(pending, "the broker refused the message (nack)")
        self._discard_channel("the broker refused a message (nack)")

    def _on_returned(self, channel: Channel, method: Any, properties: Any, _body: bytes) -> None:
        if channel is not self._channel:
            return
        for tag, pending in list(self._in_flight.items()):
            if pending.event.id == properties.message_id:
                del self._in_flight[tag]
                self._fail(pending, f"no queue takes {method.routing_key}: {method.reply_text}")
        self._declare_again()
        self._discard_channel("the broker returned a message: no queue takes it")

    def _declare_again(self) -> None:
        """Make the next connection declare the bus: a queue or the exchange is missing, as on a new broker."""
        if self._declaration is not None:
            self._declaration.request()

    def _on_tick(self) -> None:
        self._ticked_at = time.monotonic()
        IN_FLIGHT.set(self._unanswered)  # with several processes, /metrics reads files and calls no function
        while self._queue and self._queue[0].is_expired:
            self._fail(self._queue.popleft(), NOT_SENT)
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and oldest.is_expired:
            self._discard_channel("a message got no confirm within the timeout", since=oldest.since)
        self._loop.call_later(TICK_S, self._on_tick)

    def _discard_channel(self, why: str, since: float | None = None) -> None:
        """Drop the connection with its channel: a graceful close would wait for a broker that may be frozen."""
        log.warning("publisher drops its connection, publishes in flight fail", why=why, in_flight=len(self._in_flight))
        self._fail_in_flight(why, since)
        if self._connection is not None and not self._connection.is_closed:
            self._connection._terminate_stream(PublishUnconfirmedError(why))

    def _fail_in_flight(self, why: str, since: float | None = None) -> None:
        self._channel, self._state = None, f"not connected ({why})"
        self._mark_away(since)
        unconfirmed, self._in_flight = self._in_flight, {}
        for pending in unconfirmed.values():
            self._fail(pending, why)

    def _mark_away(self, since: float | None = None) -> None:
        """Record that the broker is away: since now, or since its oldest missing answer."""
        if self._away_since is None:
            self._away_since = time.monotonic() if since is None else since

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self._state = f"blocked ({frame.method.reason})"
        self._mark_away()
        log.error("the broker blocks publishers", reason=frame.method.reason)

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        if self._channel is None:
            self._state = "connecting"
        else:
            self._state, self._away_since = "ready", None
        log.info("the broker unblocked publishers")
        self._on_flush()

    def _on_channel_closed(self, channel: Channel, reason: Any) -> None:
        if channel is self._channel or self._channel is None:
            if getattr(reason, "reply_code", None) == NOT_FOUND:
                self._declare_again()
            self._fail_in_flight(f"channel closed: {reason}")
            if not self._connection.is_closed and not self._connection.is_closing:
                self._discard_channel(f"channel closed: {reason}")

    def _on_lost(self, connection: Any, reason: Any) -> None:
        if connection is not self._connection:
            return
        self._fail_in_flight(f"connection lost: {reason}")
        if self._stopping:
            self._loop.stop()
            return
        delay = self._next_delay()
        log.warning("no connection to the broker, next attempt scheduled", reason=str(reason), next_attempt_in_s=delay)
        self._loop.call_later(delay, self._on_connect)

    def _next_delay(self) -> float:
        """Return the seconds until the next connection, and count the attempt."""
        self._attempt += 1
        return RECONNECT_DELAYS_S[min(self._attempt, len(RECONNECT_DELAYS_S)) - 1]

    def _on_stop(self) -> None:
        self._fail_in_flight("the publisher is shutting down")
        while self._queue:
            self._fail(self._queue.popleft(), "the publisher is shutting down")
        self._stopping = True
        if self._connection is None or self._connection.is_closed:
            self._loop.stop()
            return
        if self._connection.is_open:  # pika fails on closing a connection that is still opening; `_on_open` closes it
            self._connection.close()
        self._loop.call_later(CLOSE_TIMEOUT_S, self._on_close_timeout)

    def _on_close_timeout(self) -> None:
        if self._connection is not None and not self._connection.is_closed:
            self._connection._terminate_stream(PublishUnconfirmedError("the publisher is shutting down"))

    def _fail(self, pending: _Pending, why: str) -> None:
        self._finish([pending], PublishUnconfirmedError(f"{pending.event.id}: {why}"))

    def _finish(self, answered: Sequence[_Pending], error: PublishUnconfirmedError | None = None) -> None:
        with self._lock:
            self._unanswered -= len(answered)
            if self._closing and self._unanswered == 0:
                self._idle.set()
        (_UNCONFIRMED if error else _CONFIRMED).inc(len(answered))
        for pending in answered:
            if error is None:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(error)


def _parameters(broker_url: str) -> list[pika.URLParameters]:
    nodes = node_parameters(broker_url)
    for parameters in nodes:
        parameters.heartbeat = HEARTBEAT_S
        parameters.socket_timeout = parameters.stack_timeout = CONNECT_TIMEOUT_S
    return nodes


def connect(broker_url: str, *, declare: bool = True) -> Publisher:
    """Return a publisher: pika's for RabbitMQ, kombu's for `memory://`, which always declares the topology.

    With `declare`, pika's publisher declares the topology on its first connection, and again if the broker returns a
    message or does not find the exchange.
    The URLs of a cluster's nodes are separated by `;`. After a failure the publisher connects to the next node.
    """
    if broker_url.startswith("memory://"):
        from events.messaging.memory_publisher import MemoryPublisher

        return MemoryPublisher(broker_url)
    return PikaPublisher(broker_url, declare=declare)
