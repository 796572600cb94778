"""What the services have committed, and when: PostgreSQL's own commit times (track_commit_timestamp)."""

from collections.abc import Mapping

import psycopg

from bench.pipeline.system import SERVICES, System

# What each service commits of one card payment, by routing key: Stripe's posts, and the order's own event after them.
EXPECTED: Mapping[str, tuple[str, ...]] = {
    "checkout": ("stripe.checkout.session.completed",),
    "orders": ("stripe.checkout.session.completed", "stripe.payment_intent.succeeded", "stripe.charge.succeeded"),
    "inventory": ("stripe.checkout.session.completed",),
    "notifications": ("orders.order.paid",),
}


def handled(system: System, service: str, routing_keys: tuple[str, ...] | None = None) -> int:
    """Events that are done, of the payments unless other keys are given."""
    query = "SELECT count(*) FROM inbox WHERE status = 'done' AND routing_key = ANY(%s)"
    return _number(system, service, query, list(routing_keys or EXPECTED[service]))


def unsettled(system: System) -> int:
    query = "SELECT count(*) FROM inbox WHERE status NOT IN ('done', 'ignored')"
    return sum(_number(system, service, query) for service in SERVICES)


def effects(system: System) -> Mapping[str, int]:
    """What must be there once for each purchase."""
    return {
        "orders paid": _number(
            system, "orders", "SELECT count(*) FROM orders WHERE status = 'paid' AND NOT needs_review"
        ),
        "payments": _number(system, "orders", "SELECT count(*) FROM payments WHERE status = 'succeeded'"),
        "sales": _number(system, "inventory", "SELECT count(*) FROM movements WHERE kind = 'sale'"),
        "checkouts complete": _number(system, "checkout", "SELECT count(*) FROM checkouts WHERE status = 'complete'"),
        "mails": system.mails(),
    }


def times(system: System, service: str, first: int, count: int) -> Mapping[tuple[str, str], float]:
    """When each event of these purchases was committed, in seconds since the epoch: by (checkout id, routing key)."""
    query = (
        "SELECT correlation_id, routing_key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM inbox"
        " WHERE routing_key = ANY(%s) AND right(correlation_id, 9)::int BETWEEN %s AND %s"
    )
    with psycopg.connect(system.urls[service]) as connection:
        rows = connection.execute(query, (list(EXPECTED[service]), first, first + count - 1)).fetchall()
    return {(row[0], row[1]): row[2] for row in rows}


def _number(system: System, service: str, query: str, *values: object) -> int:
    with psycopg.connect(system.urls[service]) as connection:
        row = connection.execute(query, values).fetchone()
    return int(row[0]) if row else 0
