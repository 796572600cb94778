"""The publisher: a message counts as published once the broker has confirmed it, and not before.

One pika `SelectConnection` lives on one I/O thread; callers hand it a message and wait for its own future, so many
confirms are under way at once. Whatever leaves a confirm in doubt (no answer within the deadline, a nack, a return,
a closed channel) fails that publish and discards the channel: a late ack must never vouch for another message.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Protocol

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from prometheus_client import Counter, Gauge, Histogram

from events import topology
from events.envelope import Event
from events.errors import Overloaded, Unpublished
from events.telemetry import get_logger

DEADLINE = 3.0  # seconds until an unconfirmed publish is given up: Stripe waits longer, a customer should not
GRACE = 0.3  # seconds that a caller waits beyond it, should the I/O thread itself be stuck
PATIENCE = 1.0  # seconds of a broker's absence in which callers wait for its return; later ones are refused at once,
# since a request may have waited for a free thread as long as those before it waited for the broker
WINDOW = 200  # messages under way: 7,800 to 11,300/s at p99 below 25 ms; more only adds waiting
TICK = 0.1  # seconds between looks for expired deadlines
BACKOFF = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between attempts to connect; the last one repeats
HEARTBEAT = 10  # seconds
CLOSE_TIMEOUT = 0.5  # seconds that a broker has to say goodbye
CONNECT_TIMEOUT = 3.0  # seconds for TCP, TLS and AMQP together

CONFIRMED = Counter("clozit_published_total", "Messages by what the broker said", ["outcome"])
_CONFIRMED, _UNCONFIRMED = CONFIRMED.labels("confirmed"), CONFIRMED.labels("unconfirmed")  # looked up once
IN_FLIGHT = Gauge("clozit_publish_in_flight", "Messages handed over and not yet answered", multiprocess_mode="livesum")
LATENCY = Histogram(
    "clozit_publish_seconds",
    "From hand-over to confirm",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3),
)

log = get_logger(__name__)


class Publisher(Protocol):
    """What publishes events; see `connect`."""

    def publish(self, event: Event) -> "Future[None]":
        """Hand over an event. The future fails with `Unpublished` unless the broker confirms it in time."""

    def wait(self, future: "Future[None]") -> None:
        """Return once confirmed; raises `Unpublished`. Holds its own deadline, whatever the broker does."""

    def check(self) -> None:
        """Raise `Unpublished` while nothing could be published."""

    def close(self) -> None:
        """Refuse new events, let those under way finish, disconnect."""


@dataclass(eq=False)
class _Pending:
    event: Event
    future: "Future[None]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)

    @property
    def expired(self) -> bool:
        return time.monotonic() - self.since >= DEADLINE


class _Connection(pika.SelectConnection):
    """pika hands each frame to the system by itself, three calls a message; a block's frames go out in one."""

    _held: list[bytes] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            if held:
                self._output_marshaled_frames([b"".join(held)])

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        """Closed during the handshake, pika 1.4 passes the exception's class, and its own assertion fails on that."""
        super()._on_connection_workflow_done(conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc)

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._held is None:
            super()._output_marshaled_frames(marshaled_frames)
        else:
            self._held.extend(marshaled_frames)


class PikaPublisher:
    """`Publisher` over RabbitMQ. All `_on…` methods run on the I/O thread, the public ones on their callers'."""

    def __init__(self, broker_url: str, *, window: int = WINDOW, declare: bool = True) -> None:
        self._nodes = cycle(_parameters(broker_url))
        self._window = window
        self._declares = declare
        self._lock = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._under_way = 0
        IN_FLIGHT.set_function(lambda: self._under_way)
        self._flush_wanted = False
        self._closing = False  # no new publishes
        self._stopping = False  # no new connections
        self._state = "connecting"
        self._away_since: float | None = time.monotonic()  # None while the broker confirms what it is sent
        self._attempt = 0
        self._loop = IOLoop()
        self._connection: Any = None
        self._channel: Channel | None = None  # set while it may be published on
        self._in_flight: dict[int, _Pending] = {}  # by delivery tag, oldest first
        self._tag = 0
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, event: Event) -> "Future[None]":
        pending = _Pending(event)
        with self._lock:
            if refused := self._refusal():
                CONFIRMED.labels("shed").inc()
                pending.future.set_exception(refused)
                return pending.future
            self._under_way += 1
            self._queue.append(pending)
            wake, self._flush_wanted = not self._flush_wanted, True
        if wake:
            self._loop.add_callback_threadsafe(self._on_flush)
        return pending.future

    def _refusal(self) -> Unpublished | None:
        away_since = self._away_since
        if self._closing:
            return Unpublished("shutting down")
        if away_since is not None and time.monotonic() - away_since > PATIENCE:
            return Unpublished(f"broker: {self._state}")
        if self._under_way >= self._window:
            return Overloaded("too many publishes under way")
        return None

    def wait(self, future: "Future[None]") -> None:
        try:
            future.result(DEADLINE + GRACE)
        except TimeoutError as error:
            raise Unpublished(f"no confirm within {DEADLINE:g} s") from error

    def check(self) -> None:
        if self._state != "ready":
            raise Unpublished(f"broker: {self._state}")

    def close(self) -> None:
        with self._lock:
            self._closing = True
            if self._under_way == 0:
                self._idle.set()
        self._idle.wait(DEADLINE + GRACE)
        self._loop.add_callback_threadsafe(self._on_stop)
        self._thread.join(DEADLINE)

    # On the I/O thread from here.

    def _run(self) -> None:
        self._loop.call_later(0, self._on_connect)
        self._loop.call_later(TICK, self._on_tick)
        self._loop.start()
        self._loop.close()

    def _on_connect(self) -> None:
        if self._stopping:
            return
        self._connection = _Connection(
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
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_returned)
        if self._declares:
            _declare_topology(channel)
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
            self._flush_wanted = False
        if self._queue and self._channel is not None and self._state == "ready":
            with self._connection.together():
                self._publish_queued(self._channel)

    def _publish_queued(self, channel: Channel) -> None:
        while self._queue:
            pending = self._queue.popleft()
            if pending.expired:
                self._fail(pending, "no broker within the deadline")
                continue
            event = pending.event
            self._tag += 1
            self._in_flight[self._tag] = pending
            channel.basic_publish(
                topology.EVENTS,
                event.routing_key,
                event.body,
                pika.BasicProperties(**event.properties()),
                mandatory=True,
            )

    def _on_answer(self, channel: Channel, method: Any) -> None:
        if channel is not self._channel:
            return  # a discarded channel's late word vouches for nothing
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
        self._discard("nack")

    def _on_returned(self, channel: Channel, method: Any, properties: Any, _body: bytes) -> None:
        if channel is not self._channel:
            return
        for tag, pending in list(self._in_flight.items()):
            if pending.event.id == properties.message_id:
                del self._in_flight[tag]
                self._fail(pending, f"no queue takes {method.routing_key}: {method.reply_text}")
        self._discard("return")

    def _on_tick(self) -> None:
        IN_FLIGHT.set(self._under_way)  # read where processes tell their figures together: none can ask another
        while self._queue and self._queue[0].expired:
            self._fail(self._queue.popleft(), "no broker within the deadline")
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and oldest.expired:
            self._discard("no confirm within the deadline", since=oldest.since)
        self._loop.call_later(TICK, self._on_tick)

    def _discard(self, why: str, since: float | None = None) -> None:
        """Give up the connection with its channel: graceful closing would wait for a broker that may be frozen."""
        log.warning("publisher drops its channel", why=why, in_flight=len(self._in_flight))
        self._forget(why, since)
        if self._connection is not None and not self._connection.is_closed:
            self._connection._terminate_stream(Unpublished(why))

    def _forget(self, why: str, since: float | None = None) -> None:
        self._channel, self._state = None, f"down ({why})"
        self._miss(since)
        doubtful, self._in_flight = self._in_flight, {}
        for pending in doubtful.values():
            self._fail(pending, why)

    def _miss(self, since: float | None = None) -> None:
        """The broker is away, since now or since it last owed an answer."""
        if self._away_since is None:
            self._away_since = time.monotonic() if since is None else since

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self._state = f"blocked ({frame.method.reason})"
        self._miss()
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
            self._forget(f"channel closed: {reason}")
            if not self._connection.is_closed and not self._connection.is_closing:
                self._discard(f"channel closed: {reason}")

    def _on_lost(self, connection: Any, reason: Any) -> None:
        if connection is not self._connection:
            return
        self._forget(f"connection lost: {reason}")
        if self._stopping:
            self._loop.stop()
            return
        delay = BACKOFF[min(self._attempt, len(BACKOFF) - 1)]
        self._attempt += 1
        log.warning("no connection to the broker", reason=str(reason), next_attempt_in=delay)
        self._loop.call_later(delay, self._on_connect)

    def _on_stop(self) -> None:
        self._forget("shutting down")
        while self._queue:
            self._fail(self._queue.popleft(), "shutting down")
        self._stopping = True
        if self._connection is None or self._connection.is_closed:
            self._loop.stop()
            return
        if self._connection.is_open:  # pika fails when one that is being opened is closed: `_on_open` does it
            self._connection.close()
        self._loop.call_later(CLOSE_TIMEOUT, self._on_close_timeout)

    def _on_close_timeout(self) -> None:
        if self._connection is not None and not self._connection.is_closed:
            self._connection._terminate_stream(Unpublished("shutting down"))

    def _fail(self, pending: _Pending, why: str) -> None:
        self._finish([pending], Unpublished(f"{pending.event.id}: {why}"))

    def _finish(self, answered: Sequence[_Pending], error: Unpublished | None = None) -> None:
        with self._lock:
            self._under_way -= len(answered)
            if self._closing and self._under_way == 0:
                self._idle.set()
        (_UNCONFIRMED if error else _CONFIRMED).inc(len(answered))
        for pending in answered:
            if error is None:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(error)


def _declare_topology(channel: Channel) -> None:
    for exchange in topology.EXCHANGES:
        channel.exchange_declare(exchange.name, exchange.type, durable=True, arguments=dict(exchange.arguments))
    for queue in topology.QUEUES:
        channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for exchange_name, key in queue.bindings:
            channel.queue_bind(queue.name, exchange_name, key)


def _parameters(broker_url: str) -> list[pika.URLParameters]:
    made = nodes(broker_url)
    for parameters in made:
        parameters.heartbeat = HEARTBEAT
        parameters.socket_timeout = parameters.stack_timeout = CONNECT_TIMEOUT
    return made


def nodes(broker_url: str) -> list[pika.URLParameters]:
    """pika's parameters for each of the URLs, separated by `;`, that a cluster is given by."""
    return [pika.URLParameters(url) for url in broker_url.split(";")]


def connect(broker_url: str, *, declare: bool = True) -> Publisher:
    """The publisher for a broker's URL: RabbitMQ by pika, `memory://` by kombu. `declare`: the bus's topology too.

    The nodes of a cluster are given as URLs separated by `;`: after any doubt about one, the next is taken.
    """
    if broker_url.startswith("memory://"):
        from events.memory import MemoryPublisher

        return MemoryPublisher(broker_url)
    return PikaPublisher(broker_url, declare=declare)
