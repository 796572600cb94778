"""kombu's connection to the broker, for RabbitMQ and for the embedded `memory://`, and the bus declared on it."""

from typing import Any

import amqp
from kombu import Connection, Exchange, Message, Queue

from events.messaging import topology
from events.messaging.declaration import report_failure
from events.messaging.event import original_routing_key

HEARTBEAT_S = 15  # a dead broker is noticed after two missed heartbeats
CONNECT_TIMEOUT_S = 5  # a reachable broker answers in milliseconds; the next attempt may reach another node
MEMORY_POLL_S = 0.01  # a memory:// queue must be polled: it wakes no consumer
CONFIRM_TIMEOUT_S = 10  # for a copy's confirm


def connect(broker_url: str) -> Connection:
    """Return a kombu connection that is not opened yet."""
    if broker_url.startswith("memory://"):
        return Connection("memory://localhost", transport_options={"polling_interval": MEMORY_POLL_S})
    return Connection(broker_url, heartbeat=HEARTBEAT_S, connect_timeout=CONNECT_TIMEOUT_S)


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

    A queue that fails does not affect the others. It may end the connection: the next one declares the rest first, then
    this queue once more. A queue that ends two connections is left out, so that the others can be used.
    """

    def __init__(self) -> None:
        self._declares_exchanges = False
        self._queues: list[topology.QueueSpec] = []  # those that are not declared
        self._ended_connection: set[str] = set()

    def request(self) -> None:
        """Declare everything on the next connection."""
        self._declares_exchanges, self._queues = True, list(topology.QUEUES)
        self._ended_connection.clear()

    def run(self, connection: Connection) -> None:
        """Declare what is not declared yet. Raises the connection's errors when it is lost meanwhile."""
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


def publish_copy(connection: Connection, message: Message, queue: str) -> None:
    """Publish a copy of a delivered message to the end of a queue and wait for the confirm.

    Raises the connection's errors when the broker does not confirm.
    """
    properties = {name: value for name, value in message.properties.items() if name != "application_headers"}
    headers = topology.headers_of_copy(message.headers, routing_key_of(message))
    copy = amqp.Message(bytes_of(message), application_headers=headers, **properties)
    with connection.channel() as channel:
        try:
            channel.basic_publish_confirm(
                copy, exchange="", routing_key=queue, mandatory=True, confirm_timeout=CONFIRM_TIMEOUT_S
            )
        except amqp.exceptions.MessageNacked as error:
            raise ConnectionResetError(f"{queue} refused a copy of {properties.get('message_id')}") from error


def routing_key_of(message: Message) -> str:
    """Return the routing key under which a delivered message was first published."""
    delivery = message.delivery_info
    return original_routing_key(
        delivery["exchange"], delivery["routing_key"], message.properties.get("type"), message.headers
    )


def bytes_of(message: Message) -> bytes:
    """Return the body as it was published; kombu's memory transport returns text."""
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)
