"""The bus in writing, from the catalogue and the topology: docs/events.md for people, docs/asyncapi.json for tools."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from events.messaging import topology
from events.messaging.contracts import SCHEMAS
from events.messaging.event import STRIPE
from marshmallow import Schema

EXAMPLES = Path("libs/events/tests/contracts")
DOCS = Path("docs")
AMQP_BINDING = "0.3.0"  # the newest that AsyncAPI 3.0 lists
STRIPE_TYPES = "https://docs.stripe.com/api/events/types"

# When each event is published: one schema may serve several, so its docstring cannot tell.
OCCASIONS: Mapping[str, str] = {
    "checkout.checkout.started": "Checkout has Stripe's session for a cart, and the customer can go and pay.",
    "checkout.checkout.canceled": "A checkout was given up: its session is expired, or nobody was given its address.",
    "orders.order.paid": "The money is there and fits what was agreed: the order can be fulfilled.",
    "orders.payment.pending": "The customer finished with a delayed payment method; the money is on its way.",
    "orders.payment.failed": "A delayed payment method failed: no money will come from this session.",
    "orders.order.expired": "The session ended before anybody paid.",
    "orders.order.canceled": "The customer gave the checkout up before paying.",
    "orders.review.opened": "Money came, but not as agreed: nothing is fulfilled until a person has decided.",
    "orders.review.resolved": "A person, or the shop's policy, decided what becomes of an order that needed review.",
    "orders.stock.returned": "Sold pieces are on the shelf again: a refund with restock, or a review's refund.",
    "orders.order.shipped": "An operator marked a parcel with all or some of the pieces as shipped.",
    "orders.refund.succeeded": "Stripe gave money back, whoever asked for it.",
    "orders.refund.failed": "A refund did not reach the customer, maybe days later; the shop has the money again.",
    "orders.dispute.opened": "The customer's bank disputes the payment, or inquires about it.",
    "orders.dispute.updated": "A dispute's deadline, status or funds changed.",
    "orders.dispute.closed": "A dispute or inquiry ended: won, lost or closed.",
    "orders.customer.erased": "An operator had an order's customer forgotten, because she asked for it.",
    "inventory.stock.low": "What is available of a sku fell to its threshold.",
    "inventory.reservation.oversold": "A payment arrived for stock that is no longer there.",
}


def documents(examples: Path = EXAMPLES) -> dict[str, str]:
    """File name → text. `examples` holds <type>.v<version>.json for everything in the catalogue."""
    return {
        "events.md": "\n".join(_markdown(examples)) + "\n",
        "asyncapi.json": json.dumps(asyncapi(examples), indent=2, ensure_ascii=False) + "\n",
    }


def asyncapi(examples: Path = EXAMPLES) -> dict[str, Any]:
    """The AsyncAPI 3.0 document: a channel for each routing key and each queue, an operation for each service's use."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Clozit Payments: the bus",
            "version": "1.0.0",  # of this document's shape; each message bears a version of its own
            "description": "Delivered at least once and in no order. Fields that a consumer does not know are to be "
            "ignored. Amounts are integers in Stripe's minor unit of the currency.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "rabbitmq": {
                "host": "{broker}",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "BROKER_URL says where.",
                "variables": {"broker": {"default": "localhost:5672"}},
            }
        },
        "channels": {**_routing_key_channels(), **_queue_channels()},
        "operations": {**_sends(), **_receives()},
        "components": {"messages": _messages(examples), "schemas": _schemas()},
    }


def _schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema by class name, the nested ones too."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec("events", "1", "3.1.0", plugins=[plugin])
    classes = {_name(schema): schema for schema in SCHEMAS.values()}
    for name, schema in classes.items():
        if name not in spec.components.schemas:
            spec.components.schema(name, schema=schema)
    for key, name in plugin.converter.refs.items():  # type: ignore[union-attr]
        document = spec.components.schemas[name]
        document["description"] = inspect.getdoc(resolve_schema_cls(key[0])) or ""
        document.pop("additionalProperties", None)  # strict for who publishes; readers must allow for new fields
    return dict(spec.components.schemas)


def _name(schema: Any) -> str:
    """The class's name, whether given as instance, class or string."""
    found: type[Schema] = resolve_schema_cls(schema)  # type: ignore[assignment]
    return found.__name__


def _example(examples: Path, event_type: str, version: int) -> dict[str, Any]:
    path = examples / f"{event_type}.v{version}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _publisher(event_type: str) -> str:
    return event_type.split(".", 1)[0]


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
                    "causation_id": {"type": "string", "description": "message_id of the event that brought it about"},
                },
            },
            "payload": _ref("components", "schemas", _name(schema)),
            "bindings": {
                "amqp": {"contentEncoding": "utf-8", "messageType": event_type, "bindingVersion": AMQP_BINDING}
            },
            "examples": [{"headers": {"version": version}, "payload": _example(examples, event_type, version)}],
        }
        for (event_type, version), schema in SCHEMAS.items()
    }
    return {**own, "stripe": _stripe_message()}


def _stripe_message() -> dict[str, Any]:
    return {
        "name": "stripe",
        "title": "An event of Stripe's",
        "summary": "The exact bytes that Stripe signed, in the API version of their creation.",
        "headers": {
            "type": "object",
            "properties": {
                "livemode": {"type": "boolean"},
                "api_version": {"type": "string"},
                "account": {"type": "string", "description": "the connected account, where it is one's"},
                "received_at": {
                    "type": "string",
                    "format": "date-time",
                    "description": "when Stripe's request came in",
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
    parameters = {"type": {"description": f"Stripe's event type, see {STRIPE_TYPES}"}}
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
    """The messages that reach a service's queue."""
    names = [_message_name(*key) for key in SCHEMAS if service in topology.queues_for(key[0])]
    return [*names, "stripe"] if any(key.startswith(STRIPE) for key in topology.BINDINGS[service]) else names


def _sends() -> dict[str, Any]:
    channels = {event_type: _publisher(event_type) for event_type in _versions()} | {"stripe": "webhooks"}
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


def _markdown(examples: Path) -> Iterator[str]:
    schemas = _schemas()
    yield "<!-- Made by `make docs` from events/catalogue.py and events/topology.py; edit those. -->"
    yield "# Events"
    yield ""
    yield "What travels on the exchange `events`, at least once and in no order. The same for tools:"
    yield "[asyncapi.json](asyncapi.json). Times are UTC. Amounts are integers in the currency's minor unit as Stripe"
    yield "counts it. A reader leaves out fields that it does not know."
    yield ""
    yield "## Our own"
    yield ""
    yield from _table(
        ["event", "version", "published by", "read by"],
        [
            [
                f"[`{event_type}`](#{_anchor(event_type, version)})",
                str(version),
                _publisher(event_type),
                _readers(event_type),
            ]
            for event_type, version in SCHEMAS
        ],
    )
    yield "## Stripe's"
    yield ""
    yield f"Published by webhooks as `stripe.<type>` ([types]({STRIPE_TYPES})), the body as Stripe signed it."
    yield "Checkout's sweep makes one itself for a session whose webhook never came. What no queue binds is kept in"
    yield f"`{topology.UNROUTED}`, the newest {topology.UNROUTED_LIMIT:,} of it."
    yield ""
    patterns = dict.fromkeys(key for keys in topology.BINDINGS.values() for key in keys if key.startswith(STRIPE))
    yield from _table(
        ["Stripe's types", "queues"],
        [
            [f"`{key.removeprefix(STRIPE)}`", _listed(name for name, keys in topology.BINDINGS.items() if key in keys)]
            for key in patterns
        ],
    )
    for (event_type, version), schema in SCHEMAS.items():
        yield from _section(event_type, version, schemas[_name(schema)], _example(examples, event_type, version))
    roots = {_name(schema) for schema in SCHEMAS.values()}
    for name in sorted(schemas.keys() - roots):
        yield f"## {name}"
        yield ""
        yield schemas[name]["description"]
        yield ""
        yield from _fields(schemas[name])


def _section(event_type: str, version: int, schema: Mapping[str, Any], example: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {event_type} v{version}"
    yield ""
    yield f"**When:** {OCCASIONS[event_type]}"
    yield ""
    yield f"**Published by** {_publisher(event_type)}, **read by** {_readers(event_type)}."
    yield ""
    yield schema["description"]
    yield ""
    yield from _fields(schema)
    yield "```json"
    yield json.dumps(example, indent=2, ensure_ascii=False)
    yield "```"
    yield ""


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    required = schema.get("required", [])
    rows = [
        [
            f"`{name}`",
            _type(field),
            "yes" if name in required else "no",
            "yes" if _nullable(field) else "no",
            _doc(field),
        ]
        for name, field in schema["properties"].items()
    ]
    yield from _table(["field", "type", "required", "nullable", "doc"], rows)


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    kinds = [kind for kind in _kinds(field) if kind != "null"]
    if kinds == ["array"]:
        return f"list of {_type(field['items'])}"
    return " or ".join(kinds) + (f" ({field['format']})" if "format" in field else "")


def _kinds(field: Mapping[str, Any]) -> list[str]:
    kinds = field.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _nullable(field: Mapping[str, Any]) -> bool:
    return "null" in _kinds(field)


def _doc(field: Mapping[str, Any]) -> str:
    """The field's description, then what its values are held to."""
    parts = [field["description"]] if "description" in field else []
    if "enum" in field:
        parts.append("One of " + _listed(f"`{value}`" for value in field["enum"] if value is not None) + ".")
    limits = {
        "minimum": "At least {}.",
        "maximum": "At most {}.",
        "minItems": "At least {} of them.",
        "pattern": "`{}`",
    }
    parts += [text.format(field[name]) for name, text in limits.items() if name in field]
    return " ".join(parts)


def _readers(event_type: str) -> str:
    return _listed(topology.queues_for(event_type)) or "nobody"


def _listed(names: Any) -> str:
    return ", ".join(names)


def _anchor(event_type: str, version: int) -> str:
    """The anchor that GitHub gives the event's heading."""
    return f"{event_type} v{version}".replace(".", "").replace(" ", "-")


def _table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
    yield ""


@click.command()
@click.argument("examples", type=click.Path(exists=True, file_okay=False, path_type=Path), default=EXAMPLES)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=DOCS, show_default=True)
def main(examples: Path, out: Path) -> None:
    """Write events.md and asyncapi.json, with the contracts in EXAMPLES as examples."""
    for name, text in documents(examples).items():
        (out / name).write_text(text, encoding="utf-8")
        click.echo(out / name)


if __name__ == "__main__":
    main()
