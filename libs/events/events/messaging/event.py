"""An event as it travels: its envelope is the AMQP basic properties, its body stays as its author wrote it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson
import uuid_utils

from events.clock import utcnow
from events.database.storable import is_storable, without_unstorable
from events.errors import DecodeError
from events.messaging import stripe_fields, topology
from events.messaging.contracts import registry
from events.observability.logging import get_logger

STRIPE = "stripe."
MAX_ID_LENGTH, MAX_SOURCE_LENGTH = 255, 64  # characters in the columns of the inbox
PERSISTENT = 2  # AMQP delivery mode: the broker writes the message to disk before it confirms

log = get_logger(__name__)


def _uuid7() -> str:
    return str(uuid_utils.uuid7().hex)


id_source: Callable[[], str] = _uuid7  # a simulation sets another one, like the clock's


def new_id(prefix: str = "evt") -> str:
    """Return a new identifier such as ``evt_0199…``: a UUIDv7, so ids sort by the time they were made."""
    return f"{prefix}_{id_source()}"


@dataclass(frozen=True)
class Event:
    """One message on the bus.

    ``routing_key`` is ``stripe.<stripe type>`` for Stripe's events, else the own event's type. ``source`` is the
    publishing service, ``occurred_at`` is UTC, ``correlation_id`` the checkout id where the event names one.
    """

    id: str
    routing_key: str
    source: str
    occurred_at: datetime
    body: bytes
    correlation_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_stripe(self) -> bool:
        """True for Stripe's events."""
        return self.routing_key.startswith(STRIPE)

    @property
    def type(self) -> str:
        """Stripe's type, or the routing key of an own event."""
        return self.routing_key.removeprefix(STRIPE)

    @cached_property
    def data(self) -> dict[str, Any]:
        """The parsed body: Stripe's event without text that PostgreSQL cannot store, or an own event by its contract.

        Raises `DecodeError` when the body is not a JSON object, or an own event does not match its contract.
        """
        try:
            document = orjson.loads(without_unstorable(self.body) if self.is_stripe else self.body)
        except orjson.JSONDecodeError as error:
            raise DecodeError(f"{self.id}: the body is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise DecodeError(f"{self.id}: the body is not a JSON object")
        if self.is_stripe:
            return document
        try:
            version = int(self.headers.get("version", 1))
        except (TypeError, ValueError) as error:
            raise DecodeError(f"{self.id}: the version is not a number") from error
        return registry.load(self.type, version, document)

    @cached_property
    def object(self) -> dict[str, Any]:
        """The Stripe object in a Stripe event, its odd details converted, clipped or left out (stripe_fields.py).

        Raises `DecodeError` if there is none, or if its ids or amounts cannot be read.
        """
        try:
            raw = self.data["data"]["object"]
        except (KeyError, TypeError) as error:
            raise DecodeError(f"{self.id}: the event has no data.object") from error
        if not isinstance(raw, dict):
            raise DecodeError(f"{self.id}: data.object is not an object")
        found, changed = stripe_fields.read_object(raw)
        if problem := stripe_fields.find_unreadable(found):
            raise DecodeError(f"{self.id}: data.object cannot be read: {problem}")
        if changed:
            log.warning("odd details of a stripe object were changed or left out", event_id=self.id, fields=changed)
        return found

    def properties(self) -> dict[str, Any]:
        """Return the AMQP basic properties, under the names that pika and kombu share."""
        return {
            "message_id": self.id,
            "type": self.type,
            "app_id": self.source,
            "timestamp": int(self.occurred_at.timestamp()),
            "correlation_id": self.correlation_id,
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "delivery_mode": PERSISTENT,
            "headers": dict(self.headers),
        }

    @classmethod
    def from_delivery(cls, routing_key: str, properties: Mapping[str, Any], body: bytes) -> "Event":
        """Return the event in a delivered message.

        Raises `DecodeError` when the envelope is incomplete or the inbox cannot store it.
        """
        event_id, timestamp = properties.get("message_id"), properties.get("timestamp")
        if not event_id or not routing_key:
            raise DecodeError("the message has no message_id or no routing key")
        if isinstance(timestamp, datetime):  # py-amqp decodes AMQP timestamps to naive UTC datetimes
            occurred_at = timestamp.replace(tzinfo=UTC)
        elif isinstance(timestamp, int):
            try:
                occurred_at = datetime.fromtimestamp(timestamp, UTC)
            except (OverflowError, ValueError, OSError) as error:
                raise DecodeError(f"{event_id}: {timestamp} is not a timestamp") from error
        else:
            raise DecodeError(f"{event_id}: the message has no timestamp")
        event = cls(
            id=str(event_id),
            routing_key=routing_key,
            source=str(properties.get("app_id") or ""),
            occurred_at=occurred_at,
            body=body,
            correlation_id=properties.get("correlation_id"),
            headers=_own_headers(properties.get("headers") or properties.get("application_headers") or {}),
        )
        if problem := event._find_unstorable():
            raise DecodeError(f"{event.id!a}: {problem} cannot be stored")
        return event

    def _find_unstorable(self) -> str | None:
        """Return the part of the envelope that is too long for its column or that PostgreSQL cannot store, or None."""
        limited = [
            ("the message_id", self.id, MAX_ID_LENGTH),
            ("the routing key", self.routing_key, MAX_ID_LENGTH),
            ("the app_id", self.source, MAX_SOURCE_LENGTH),
            ("the correlation_id", self.correlation_id or "", MAX_ID_LENGTH),
        ]
        for name, text, limit in limited:
            if len(text) > limit or not is_storable(text):
                return name
        for name, value in self.headers.items():
            if not is_storable(name) or (isinstance(value, str) and not is_storable(value)):
                return f"the header {name!a}"
        return None


def _own_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the publisher's headers: those that are JSON scalars, without the broker's, which have AMQP timestamps."""
    own = topology.without_broker_headers(headers)
    return {name: value for name, value in own.items() if value is None or _is_json_scalar(value)}


def _is_json_scalar(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def own_event(
    event_type: str,
    data: Mapping[str, Any],
    *,
    source: str | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    occurred_at: datetime | None = None,
    version: int = 1,
    event_id: str | None = None,
) -> Event:
    """Return an own event with `data` as its body. Raises `ValidationError` if `data` does not match the contract."""
    headers: dict[str, Any] = {"version": version}
    if causation_id:
        headers["causation_id"] = causation_id
    return Event(
        id=event_id or new_id(),
        routing_key=event_type,
        source=source or event_type.split(".", 1)[0],
        occurred_at=occurred_at or utcnow(),
        body=orjson.dumps(registry.dump(event_type, version, data)),
        correlation_id=correlation_id,
        headers=headers,
    )


def deaths_of(headers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return RabbitMQ's notes of how a message became a dead letter, the newest first. Odd notes are left out."""
    deaths = headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []


def original_routing_key(exchange: str, routing_key: str, message_type: str | None, headers: Mapping[str, Any]) -> str:
    """Return the routing key under which a message was first published.

    Messages that our code requeued have it in a header, dead letters in `x-death`. RabbitMQ's management page and its
    shovels publish under the queue's name. Then the key is the message's type, with `stripe.` before it if the message
    has no `version` header: only our own events have one.
    """
    if exchange == topology.EVENTS:
        return routing_key
    if kept := headers.get(topology.ORIGINAL_KEY_HEADER):
        return str(kept)
    for death in reversed(deaths_of(headers)):
        keys = death.get("routing-keys")
        if death.get("exchange") == topology.EVENTS and isinstance(keys, list) and keys:
            return str(keys[0])
    if not message_type:
        return routing_key
    return message_type if "version" in headers else f"{STRIPE}{message_type}"
