"""Generator of docs/asyncapi.json, the events and queues for programs, from contracts and topology (`make docs`)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from events.messaging import topology
from events.messaging.contracts.registry import SCHEMAS
from events.messaging.event import STRIPE

from tools.own_events import (
    EXAMPLES,
    OCCASIONS,
    STRIPE_TYPES,
    class_name,
    example,
    json_schemas,
    page_command,
    publisher,
)

PAGE = Path("docs/asyncapi.json")
AMQP_BINDING = "0.3.0"  # the newest one that AsyncAPI 3.0 lists


def text(examples: Path = EXAMPLES) -> str:
    """Return the text of docs/asyncapi.json, with the examples of this folder."""
    return json.dumps(document(examples), indent=2, ensure_ascii=False) + "\n"


def document(examples: Path) -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document.

    Each type of our events, all of Stripe's events together, and each queue are a channel with one operation: the
    service that sends to it or receives from it.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Clozit Payments: the bus",
            "version": "1.0.0",  # of this document's shape; each message has its own version
            "description": "Each event is delivered at least once, and events have no order. Consumers ignore fields "
            "that they do not know. Amounts are integers in the currency's minor unit, as Stripe counts it.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "{broker}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "The setting BROKER_URL.",
                "variables": {"broker": {"default": "localhost:5672"}},
            }
        },
        "channels": {**_routing_key_channels(), **_queue_channels()},
        "operations": {**_sends(), **_receives()},
        "components": {"messages": _messages(examples), "schemas": json_schemas()},
    }


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}


def _message_name(event_type: str, version: int) -> str:
    return f"{event_type}.v{version}"


def _messages(examples: Path) -> dict[str, Any]:
    own = {
        _message_name(event_type, version): {
            "name": event_type,
            "title": f"{event_type}, version {version}",
            "summary": OCCASIONS[event_type],
            "headers": {
                "type": "object",
                "required": ["version"],
                "properties": {
                    "version": {"const": version},
                    "causation_id": {"type": "string", "description": "message_id of the event that caused this one"},
                },
            },
            "payload": _ref("components", "schemas", class_name(schema)),
            "bindings": {
                "amqp": {"contentEncoding": "utf-8", "messageType": event_type, "bindingVersion": AMQP_BINDING}
            },
            "examples": [{"headers": {"version": version}, "payload": example(examples, event_type, version)}],
        }
        for (event_type, version), schema in SCHEMAS.items()
    }
    return {**own, "stripe": _stripe_message()}


def _stripe_message() -> dict[str, Any]:
    return {
        "name": "stripe",
        "title": "A Stripe event",
        "summary": "The exact bytes that Stripe signed, in the API version in which Stripe created the event.",
        "headers": {
            "type": "object",
            "properties": {
                "livemode": {"type": "boolean"},
                "api_version": {"type": "string"},
                "account": {"type": "string", "description": "the connected account, if the event belongs to one"},
                "received_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "when Stripe's request arrived",
                },
            },
        },
        "payload": {
            "type": "object",
            "required": ["id", "type", "data"],
            "properties": {
                "id": {"type": "string"},
                "type": {"type": "string"},
                "data": {"type": "object", "required": ["object"], "properties": {"object": {"type": "object"}}},
            },
        },
        "externalDocs": {"url": STRIPE_TYPES},
        "bindings": {"amqp": {"contentEncoding": "utf-8", "bindingVersion": AMQP_BINDING}},
    }


def _channel(address: str, messages: list[str], binding: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {name: _ref("components", "messages", name) for name in messages},
        **more,
        "bindings": {"amqp": {**binding, "bindingVersion": AMQP_BINDING}},
    }


def _routing_key_channels() -> dict[str, Any]:
    exchange = {"name": topology.EVENTS, "type": "topic", "durable": True, "autoDelete": False, "vhost": "/"}
    binding = {"is": "routingKey", "exchange": exchange}
    own = {
        event_type: _channel(event_type, [_message_name(event_type, version) for version in versions], binding)
        for event_type, versions in _versions().items()
    }
    parameters = {"type": {"description": f"Stripe's event type: {STRIPE_TYPES}"}}
    return {**own, "stripe": _channel(f"{STRIPE}{{type}}", ["stripe"], binding, parameters=parameters)}


def _queue_channels() -> dict[str, Any]:
    return {
        f"queue.{service}": _channel(
            service,
            _received(service),
            {
                "is": "queue",
                "queue": {"name": service, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "/"},
            },
            **{"x-clozit-binds": list(keys)},
        )
        for service, keys in topology.BINDINGS.items()
    }


def _received(service: str) -> list[str]:
    """Return the names of the messages that reach a service's queue."""
    names = [_message_name(*key) for key in SCHEMAS if service in topology.queues_for(key[0])]
    return [*names, "stripe"] if any(key.startswith(STRIPE) for key in topology.BINDINGS[service]) else names


def _sends() -> dict[str, Any]:
    channels = {event_type: publisher(event_type) for event_type in _versions()} | {"stripe": "webhooks"}
    return {
        f"{service}.sends.{channel}": {
            "action": "send",
            "channel": _ref("channels", channel),
            "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": AMQP_BINDING}},
            "tags": [{"name": service}],
        }
        for channel, service in channels.items()
    }


def _receives() -> dict[str, Any]:
    return {
        f"{service}.receives": {
            "action": "receive",
            "channel": _ref("channels", f"queue.{service}"),
            "bindings": {"amqp": {"ack": True, "bindingVersion": AMQP_BINDING}},
            "tags": [{"name": service}],
        }
        for service in topology.BINDINGS
    }


def _versions() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event_type, version in SCHEMAS:
        found.setdefault(event_type, []).append(version)
    return found


main = page_command(PAGE, text, "Write the AsyncAPI document, with the contracts' examples in the folder EXAMPLES.")

if __name__ == "__main__":
    main()
