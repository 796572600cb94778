"""Queries on the services' databases: handled events, effects, and PostgreSQL's commit times of events."""

from collections.abc import Mapping

import psycopg

from bench.pipeline.system import SERVICES, System

# The events that each service commits for one card payment: Stripe's, then the order's own event.
ROUTING_KEYS: Mapping[str, tuple[str, ...]] = {
    "checkout": ("stripe.checkout.session.completed",),
    "orders": ("stripe.checkout.session.completed", "stripe.payment_intent.succeeded", "stripe.charge.succeeded"),
    "inventory": ("stripe.checkout.session.completed",),
    "notifications": ("orders.order.paid",),
}


def count_handled(system: System, service: str, routing_keys: tuple[str, ...] | None = None) -> int:
    """Return how many events of a service are done: those of card payments, or those with the given routing keys."""
    query = "SELECT count(*) FROM inbox WHERE status = 'done' AND routing_key = ANY(%s)"
    return _number(system, service, query, list(routing_keys or ROUTING_KEYS[service]))


def count_unhandled(system: System) -> int:
    """Return how many events are neither done nor ignored, in all services."""
    query = "SELECT count(*) FROM inbox WHERE status NOT IN ('done', 'ignored')"
    return sum(_number(system, service, query) for service in SERVICES)


def count_effects(system: System) -> Mapping[str, int]:
    """Return the number of each effect, such as paid orders. Each must be the number of purchases."""
    return {
        "orders paid": _number(
            system, "orders", "SELECT count(*) FROM orders WHERE status = 'paid' AND NOT needs_review"
        ),
        "payments": _number(system, "orders", "SELECT count(*) FROM payments WHERE status = 'succeeded'"),
        "sales": _number(system, "inventory", "SELECT count(*) FROM movements WHERE kind = 'sale'"),
        "checkouts complete": _number(system, "checkout", "SELECT count(*) FROM checkouts WHERE status = 'complete'"),
        "mails": system.mails(),
    }


def commit_times(system: System, service: str, first: int, count: int) -> Mapping[tuple[str, str], float]:
    """Return the commit time of each event of these purchases, in Unix time, by (checkout id, routing key)."""
    query = (
        "SELECT correlation_id, routing_key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM inbox"
        " WHERE routing_key = ANY(%s) AND right(correlation_id, 9)::int BETWEEN %s AND %s"
    )
    with psycopg.connect(system.urls[service]) as connection:
        rows = connection.execute(query, (list(ROUTING_KEYS[service]), first, first + count - 1)).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def _number(system: System, service: str, query: str, *values: object) -> int:
    with psycopg.connect(system.urls[service]) as connection:
        row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0
