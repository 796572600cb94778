"""The whole bus in one place. Each publisher and consumer declares it at start, so queues exist before their events.

With `DECLARE_TOPOLOGY=false`, only the command `webhooks declare-topology` declares it.

A service's queue has no length limit: if one service's queue were full, the broker would refuse events that the other
services' queues had stored. `events.unrouted` has a limit, because no service consumes it. `webhooks.backfill` keeps
one message: the newest watermark of the backfill.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EVENTS = "events"
UNROUTED = "events.unrouted"
DEAD = "events.dead"
ORIGINAL_KEY_HEADER = "original_routing_key"  # a requeued message is routed by its queue's name, and keeps its key here
BROKER_HEADERS = ("x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-acquired-count")
INSPECTION_LIMIT = 1_000_000  # redeliveries in queues that operators inspect; RabbitMQ 4 would drop messages after 20
DELIVERY_LIMIT = 20  # redeliveries in which a message may kill its consumer before it is a dead letter
UNROUTED_LIMIT = 100_000  # newest events without a consumer, kept for operators
WATERMARK = "webhooks.backfill"  # the queue whose newest message says how far the backfill has come
WATERMARK_KEY = "webhooks.backfill.advanced"  # the routing key of its messages

BINDINGS: Mapping[str, Sequence[str]] = {
    "checkout": ("stripe.checkout.session.#", "orders.customer.#"),
    "orders": (
        "stripe.checkout.session.#",
        "stripe.payment_intent.#",
        "stripe.charge.#",
        "stripe.refund.#",
        "stripe.review.#",
        "stripe.radar.#",
        "checkout.checkout.#",
        "inventory.reservation.doubted",
        "inventory.reservation.committed",
        "inventory.reservation.oversold",
    ),
    "inventory": (
        "stripe.checkout.session.#",
        "orders.stock.#",
        "orders.customer.#",
        "orders.order.shipped",
        "orders.goods.changed",
    ),
    "notifications": ("orders.#", "inventory.stock.#", "inventory.reservation.expiring"),
}

# Stripe's types that a service handles: the ones to subscribe an endpoint to, and the ones that the backfill lists.
STRIPE_TYPES: Sequence[str] = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.requires_action",
    "payment_intent.payment_failed",
    "charge.pending",
    "charge.succeeded",
    "charge.failed",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "review.opened",
    "review.closed",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
)


@dataclass(frozen=True)
class ExchangeSpec:
    """An exchange to declare."""

    name: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueSpec:
    """A queue to declare, with its bindings as pairs of exchange and routing key."""

    name: str
    arguments: Mapping[str, Any]
    bindings: Sequence[tuple[str, str]]


def dead_letter_queue(service: str) -> str:
    """Return the name of a service's dead-letter queue."""
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
            "x-delivery-limit": INSPECTION_LIMIT,
        },
        [(UNROUTED, "")],
    ),
    QueueSpec(
        WATERMARK,
        {
            "x-queue-type": "quorum",
            "x-max-length": 1,
            "x-overflow": "drop-head",
            "x-delivery-limit": INSPECTION_LIMIT,
        },
        [(EVENTS, WATERMARK_KEY)],
    ),
    *(
        QueueSpec(
            dead_letter_queue(name),
            {"x-queue-type": "quorum", "x-delivery-limit": INSPECTION_LIMIT},
            [(DEAD, dead_letter_queue(name))],
        )
        for name in BINDINGS
    ),
    *(
        QueueSpec(
            name,
            {
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD,
                "x-dead-letter-routing-key": dead_letter_queue(name),
            },
            [(EVENTS, key) for key in keys],
        )
        for name, keys in BINDINGS.items()
    ),
)


def matches(pattern: str, routing_key: str) -> bool:
    """Return True if a topic binding takes a routing key (`*` is one word, `#` any number of words)."""
    regex = "".join(
        {"*": r"\.[^.]+", "#": r"(?:\.[^.]+)*"}.get(word, r"\." + re.escape(word)) for word in pattern.split(".")
    )
    return re.fullmatch(regex, f".{routing_key}") is not None


def queues_for(routing_key: str) -> list[str]:
    """Return the queues that receive events with this routing key. Each has the name of its service."""
    return [name for name, keys in BINDINGS.items() if any(matches(key, routing_key) for key in keys)]


def is_routed(routing_key: str) -> bool:
    """Return True if a queue is bound to the exchange `events` for this routing key."""
    keys = [key for queue in QUEUES for exchange, key in queue.bindings if exchange == EVENTS]
    return any(matches(key, routing_key) for key in keys)


def headers_of_copy(headers: Mapping[str, Any], routing_key: str) -> dict[str, Any]:
    """Return headers for a copy routed by its queue's name: with `routing_key`, without the headers of the broker."""
    return {**without_broker_headers(headers), ORIGINAL_KEY_HEADER: routing_key}


def without_broker_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message's headers without those that the broker has added, and without names that are no text."""
    return {
        name: value for name, value in headers.items() if isinstance(name, str) and not name.startswith(BROKER_HEADERS)
    }
