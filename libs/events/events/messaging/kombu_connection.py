"""kombu's connection to the broker, for RabbitMQ and for the embedded `memory://`, and the bus declared on it."""

from typing import Any

from kombu import Connection, Exchange, Message, Queue

from events.messaging import topology

HEARTBEAT_S = 15  # a dead broker is noticed after two missed heartbeats
CONNECT_TIMEOUT_S = 5  # a reachable broker answers in milliseconds; the next attempt may reach another node
MEMORY_POLL_S = 0.01  # a memory:// queue must be polled: it wakes no consumer


def connect(broker_url: str) -> Connection:
    """Return a kombu connection that is not opened yet."""
    if broker_url.startswith("memory://"):
        return Connection("memory://localhost", transport_options={"polling_interval": MEMORY_POLL_S})
    return Connection(broker_url, heartbeat=HEARTBEAT_S, connect_timeout=CONNECT_TIMEOUT_S)


def declare_topology(channel: Any) -> None:
    """Declare the whole bus on an open channel; existing parts are left as they are."""
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


def bytes_of(message: Message) -> bytes:
    """Return the body as it was published; kombu's memory transport returns text."""
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)
