"""The topology: bindings, queue arguments, and the order of declarations."""

from importlib import import_module

import pytest
from events.messaging import topology
from events.messaging.contracts.registry import SCHEMAS
from events.messaging.event import STRIPE

SERVICES = sorted(topology.BINDINGS)


@pytest.mark.parametrize(
    ("pattern", "routing_key", "taken"),
    [
        ("orders.order.paid", "orders.order.paid", True),
        ("orders.order.paid", "orders.order.paid.twice", False),
        ("orders.order.paid", "ordersXorderXpaid", False),
        ("orders.*.paid", "orders.order.paid", True),
        ("orders.*.paid", "orders.paid", False),
        ("orders.*.paid", "orders.order.line.paid", False),
        ("*", "orders", True),
        ("*", "orders.order", False),
        ("orders.#", "orders", True),
        ("orders.#", "orders.order", True),
        ("orders.#", "orders.order.paid", True),
        ("orders.#", "ordersome", False),
        ("#", "orders", True),
        ("#", "orders.order.paid", True),
        ("#.paid", "paid", True),
        ("#.paid", "orders.order.paid", True),
        ("#.paid", "orders.order.unpaid", False),
        ("orders.#.paid", "orders.paid", True),
        ("orders.#.paid", "orders.order.paid", True),
        ("orders.#.paid", "orders.order.line.paid", True),
        ("orders.#.paid", "orders.order.paid.twice", False),
        ("#.#", "orders", True),
        ("*.#", "orders", True),
        ("*.#.*", "orders", False),
        ("*.#.*", "orders.order", True),
        ("stripe.checkout.session.#", "stripe.checkout.session.async_payment_succeeded", True),
        ("stripe.checkout.session.#", "stripe.checkout.sessions", False),
    ],
)
def test_pattern_matches_as_in_rabbitmq(pattern: str, routing_key: str, taken: bool) -> None:
    assert topology.matches(pattern, routing_key) is taken


def handled_keys(service: str) -> set[str]:
    module = import_module(f"{service}.handlers")
    registry = module.handlers if hasattr(module, "handlers") else module.create_handlers()
    return set(registry.keys)


@pytest.mark.parametrize("service", SERVICES)
def test_every_handlers_key_is_bound_to_its_queue(service: str) -> None:
    keys = handled_keys(service)
    unbound = {key for key in keys if service not in topology.queues_for(key)}
    assert keys
    assert not unbound


def test_backfilled_types_are_those_that_services_handle() -> None:
    handled = {key for service in SERVICES for key in handled_keys(service) if key.startswith(STRIPE)}
    assert sorted(topology.STRIPE_TYPES) == sorted(key.removeprefix(STRIPE) for key in handled)


@pytest.mark.parametrize("service", SERVICES)
def test_every_handled_own_event_has_a_contract(service: str) -> None:
    own = {key for key in handled_keys(service) if not key.startswith("stripe.")}
    assert own <= {event_type for event_type, _ in SCHEMAS}


@pytest.mark.parametrize("event_type", sorted({event_type for event_type, _ in SCHEMAS}))
def test_every_own_event_reaches_a_service(event_type: str) -> None:
    assert topology.queues_for(event_type)


@pytest.mark.parametrize("service", SERVICES)
def test_service_queue_has_no_length_limit(service: str) -> None:
    """With a full queue of one service, the broker would refuse events that other services' queues stored."""
    queue = next(queue for queue in topology.QUEUES if queue.name == service)
    assert (
        not {"x-max-length", "x-max-length-bytes", "x-overflow", "x-message-ttl", "x-expires"} & queue.arguments.keys()
    )


@pytest.mark.parametrize("service", SERVICES)
def test_message_over_the_delivery_limit_is_dead_lettered(service: str) -> None:
    queues = {queue.name: queue for queue in topology.QUEUES}
    arguments = queues[service].arguments
    assert arguments["x-delivery-limit"] == 20
    dead_letter_route = (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"])
    assert dead_letter_route in queues[f"{service}.dead"].bindings
    assert "x-max-length" not in queues[f"{service}.dead"].arguments


def test_all_queues_are_quorum_queues() -> None:
    assert {queue.arguments["x-queue-type"] for queue in topology.QUEUES} == {"quorum"}


def test_exchanges_are_declared_before_their_references() -> None:
    """Publishers and consumers declare them in this order."""
    names = [exchange.name for exchange in topology.EXCHANGES]
    assert names.index(topology.UNROUTED) < names.index(topology.EVENTS)
    assert {exchange for queue in topology.QUEUES for exchange, _ in queue.bindings} <= set(names)


def test_unbound_stripe_event_reaches_no_service() -> None:
    assert topology.queues_for("stripe.payout.paid") == []
    assert not topology.is_routed("stripe.payout.paid")


def test_watermark_reaches_its_queue_and_no_service() -> None:
    assert topology.queues_for(topology.WATERMARK_KEY) == []
    assert topology.is_routed(topology.WATERMARK_KEY)
