"""The whole bus in one place; every process declares all of it at start, so no event precedes its queue.

A service's queue has no length limit: a full queue of one service would make the broker refuse what its siblings
stored. `events.unrouted` has one, since nobody asked for what lies there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EVENTS = "events"
UNROUTED = "events.unrouted"
DEAD = "events.dead"
RETURNED_KEY = "returned_routing_key"  # header of a message returned to one queue: it comes by the queue's name
LOOKS = 1_000_000  # deliveries of what people look at: each look is one, and 4.x would drop it after 20 by default
DELIVERY_LIMIT = 20  # deliveries that a message may kill its consumer before it is taken aside
UNROUTED_LIMIT = 100_000  # the newest events that no service wants, kept for people to look at

BINDINGS: Mapping[str, Sequence[str]] = {
    "checkout": ("stripe.checkout.session.#", "orders.customer.#"),
    "orders": (
        "stripe.checkout.session.#",
        "stripe.payment_intent.#",
        "stripe.charge.#",
        "stripe.refund.#",
        "checkout.session.#",
        "inventory.reservation.#",
    ),
    "inventory": ("stripe.checkout.session.#", "orders.stock.#", "orders.customer.#"),
    "notifications": ("orders.#", "inventory.stock.#"),
}


@dataclass(frozen=True)
class ExchangeSpec:
    name: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueSpec:
    name: str
    arguments: Mapping[str, Any]
    bindings: Sequence[tuple[str, str]]  # (exchange, routing key)


def dead_queue(service: str) -> str:
    return f"{service}.dead"


EXCHANGES = (
    ExchangeSpec(UNROUTED, "fanout"),
    ExchangeSpec(DEAD, "direct"),
    ExchangeSpec(EVENTS, "topic", {"alternate-exchange": UNROUTED}),
)

QUEUES = (
    QueueSpec(
        UNROUTED,
        {
            "x-queue-type": "quorum",
            "x-max-length": UNROUTED_LIMIT,
            "x-overflow": "drop-head",
            "x-delivery-limit": LOOKS,
        },
        [(UNROUTED, "")],
    ),
    *(
        QueueSpec(dead_queue(name), {"x-queue-type": "quorum", "x-delivery-limit": LOOKS}, [(DEAD, dead_queue(name))])
        for name in BINDINGS
    ),
    *(
        QueueSpec(
            name,
            {
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD,
                "x-dead-letter-routing-key": dead_queue(name),
            },
            [(EVENTS, key) for key in keys],
        )
        for name, keys in BINDINGS.items()
    ),
)


def matches(pattern: str, routing_key: str) -> bool:
    """Whether a topic binding takes a routing key (`*` is one word, `#` any number)."""
    regex = "".join(
        {"*": r"\.[^.]+", "#": r"(?:\.[^.]+)*"}.get(word, r"\." + re.escape(word)) for word in pattern.split(".")
    )
    return re.fullmatch(regex, f".{routing_key}") is not None


def queues_for(routing_key: str) -> list[str]:
    """The services that an event of this routing key reaches."""
    return [name for name, keys in BINDINGS.items() if any(matches(key, routing_key) for key in keys)]
