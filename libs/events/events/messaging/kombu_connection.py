"""kombu's connection to the broker, for RabbitMQ and for the embedded `memory://`, and the bus declared on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Exchange, Queue
from kombu.transport import pyamqp

from events.messaging import topology
from events.messaging.declaration import report_failure

HEARTBEAT_S = 10  # a dead broker is noticed after two missed heartbeats
CONNECT_TIMEOUT_S = 5  # a reachable broker answers in milliseconds; the next attempt may reach another node
ANSWER_TIMEOUT_S = 5.0  # for the answer to a request: a frozen broker gives none, but its host acknowledges packets
MEMORY_POLL_S = 0.01  # a memory:// queue must be polled: it wakes no consumer


class BoundedConnection(pyamqp.Connection):
    """An AMQP connection that ends if the broker does not answer a request within `answer_timeout_s`.

    py-amqp waits for answers without a limit, also for the answer to a close request. So once an answer is missing, the
    socket is closed without a close request.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answer_timeout_s = ANSWER_TIMEOUT_S

    def connect(self, callback: Callable[[], object] | None = None) -> Any:
        """Connect, and limit the time of each later write: a frozen broker does not read, either."""
        connected = super().connect(callback)
        self.sock.settimeout(ANSWER_TIMEOUT_S)
        return connected

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for data of the broker. Without `timeout`, this is the answer to a request.

        Raises `TimeoutError` after `timeout`. If an answer does not come, closes the socket and raises
        `ConnectionResetError`.
        """
        try:
            super().drain_events(self.answer_timeout_s if timeout is None else timeout)
        except TimeoutError as error:
            if timeout is not None:
                raise
            self.collect()
            raise ConnectionResetError(f"the broker did not answer within {self.answer_timeout_s:g} s") from error

    def collect(self) -> None:
        """Close the socket at once, without TLS's wait for the broker's close message."""
        if self._transport is not None and self._transport.sock is not None:
            self._transport.sock.settimeout(0)
        super().collect()


class BrokerConnection(Connection):
    """kombu's connection to RabbitMQ, with a `BoundedConnection` to each node."""

    def create_transport(self) -> Any:
        """Return the current node's transport, with or without TLS, which connects with a `BoundedConnection`."""
        transport = super().create_transport()
        transport.Connection = BoundedConnection
        return transport


def connect(broker_url: str) -> Connection:
    """Return a kombu connection that is not opened yet."""
    if broker_url.startswith("memory://"):
        return Connection("memory://localhost", transport_options={"polling_interval": MEMORY_POLL_S})
    return BrokerConnection(broker_url, heartbeat=HEARTBEAT_S, connect_timeout=CONNECT_TIMEOUT_S)


@contextmanager
def dropped_on_error(connection: Connection) -> Iterator[None]:
    """Drop the connection when the block raises: a close request would wait for a broker that may be frozen."""
    try:
        yield
    except Exception:
        connection.collect()
        raise


def declare_topology(channel: Any) -> None:
    """Declare the whole bus on an open channel; existing parts are left as they are.

    Raises the client's error at the first part that fails, such as one that exists with other arguments. The parts
    after it are not declared.
    """
    _declare_exchanges(channel)
    for spec in topology.QUEUES:
        _declare_queue(channel, spec)


class BusDeclaration:
    """The declaration of the bus by a consumer, each queue on a channel of its own.

    A queue that fails does not affect the others. It may end the connection: on the next connection, `run` declares the
    others first, then this queue once more. A queue that ends two connections is left out, so that the others can be
    used.
    """

    def __init__(self) -> None:
        self._declares_exchanges = False
        self._queues: list[topology.QueueSpec] = []  # those that are not declared
        self._ended_connection: set[str] = set()

    def request(self) -> None:
        """Make the next `run` declare all exchanges and queues, also those that are declared."""
        self._declares_exchanges, self._queues = True, list(topology.QUEUES)
        self._ended_connection.clear()

    def run(self, connection: Connection) -> None:
        """Declare what was requested and is not declared yet. A queue that the broker refuses is only reported.

        Raises the broker's error for an exchange, and the connection's errors when it is lost meanwhile.
        """
        if self._declares_exchanges:
            with connection.channel() as channel:
                _declare_exchanges(channel)
            self._declares_exchanges = False
        while self._queues:
            spec = self._queues.pop(0)
            try:
                with connection.channel() as channel:
                    _declare_queue(channel, spec)
            except connection.channel_errors as error:
                report_failure(spec.name, error)
            except connection.connection_errors as error:
                report_failure(spec.name, error)
                if spec.name not in self._ended_connection:
                    self._ended_connection.add(spec.name)
                    self._queues.append(spec)
                raise


def _declare_exchanges(channel: Any) -> None:
    for spec in topology.EXCHANGES:
        Exchange(spec.name, spec.type, durable=True, arguments=dict(spec.arguments), channel=channel).declare()


def _declare_queue(channel: Any, spec: topology.QueueSpec) -> None:
    queue = Queue(spec.name, durable=True, queue_arguments=dict(spec.arguments), channel=channel)
    queue.declare()
    for exchange_name, routing_key in spec.bindings:
        queue.bind_to(exchange_name, routing_key)
