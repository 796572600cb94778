"""Messages that kombu delivers: reading, rejecting and copying them."""

import amqp
from kombu import Connection, Message

from events.errors import DecodeError
from events.messaging import topology
from events.messaging.event import Event, original_routing_key
from events.observability.logging import get_logger

log = get_logger(__name__)


def read(message: Message) -> Event | None:
    """Return the message's event. Reject a message that cannot be read to the dead-letter queue and return None."""
    properties = {"headers": message.headers, **message.properties}
    try:
        return Event.from_delivery(routing_key_of(message), properties, bytes_of(message))
    except DecodeError as error:
        _reject(message, error)
        return None


def reject_undecodable(readable: list[tuple[Message, Event]], error: DecodeError) -> list[tuple[Message, Event]]:
    """Reject the undecodable messages to the dead-letter queue and return the others.

    Raises `error` if all messages can be decoded.
    """
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


def is_redelivered(message: Message) -> bool:
    """Return whether the broker delivered the message before, maybe to a consumer that died."""
    return bool(message.delivery_info.get("redelivered"))


def publish_copy(connection: Connection, message: Message, queue: str) -> None:
    """Publish a copy of a delivered message to the end of a queue and wait for the confirm.

    Raises the connection's errors when the broker does not confirm.
    """
    properties = {name: value for name, value in message.properties.items() if name != "application_headers"}
    headers = topology.headers_of_copy(message.headers, routing_key_of(message))
    copy = amqp.Message(bytes_of(message), application_headers=headers, **properties)
    with connection.channel() as channel:
        try:
            channel.basic_publish_confirm(copy, exchange="", routing_key=queue, mandatory=True)
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


def _reject(message: Message, error: DecodeError) -> None:
    log.error("undecodable message rejected to the dead-letter queue", error=str(error))
    message.reject()
