"""Payments in time of stock that is in doubt: the order waits for inventory's answer, as after a late payment."""

from collections.abc import Collection, Sequence
from itertools import permutations

import pytest
from events.testing.arrival import each_order
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders.chains import CHAINS
from orders.holds import find_hold

from services.orders.tests.harness import OrdersService, Purchase, post, problem_of

FACTS = ("started", "completed", "doubted")


def is_confirmed(service: OrdersService) -> bool:
    return "orders.order.paid" in service.published_types()


@pytest.mark.parametrize("answer", ["committed", "oversold"])
def test_doubt_before_the_payment_waits_in_any_order(
    sqlite_database: MakeDatabase, purchase: Purchase, answer: str
) -> None:
    """Each fact comes twice. A doubt after the handled payment finds a confirmed order, and changes nothing."""
    service = OrdersService(sqlite_database(CHAINS))

    def deliver_twice(before: Sequence[str], name: str) -> None:
        service.deliver(*[purchase.named(name)] * 2)
        facts = {*before, name}
        if "started" in facts:
            service.retry_waiting()
        if "doubted" in before or not is_paid(facts):
            was_confirmed = "doubted" in before and is_paid(before[: before.index("doubted")])
            has_stock = is_paid(facts) and "committed" in facts
            assert is_confirmed(service) == (was_confirmed or has_stock), (before, name)

    for order in each_order(service.database, permutations([*FACTS, answer]), deliver_twice):
        assert service.unfinished() == [], order
        assert service.order().needs_review == (answer == "oversold"), order
        assert service.published_types().count("orders.order.paid") <= 1, order


def is_paid(facts: Collection[str]) -> bool:
    return {"started", "completed"} <= {*facts}


@pytest.mark.parametrize("order", list(permutations(FACTS)), ids="-".join)
def test_doubt_in_the_batch_of_the_payment_counts(
    service: OrdersService, purchase: Purchase, order: Sequence[str]
) -> None:
    """An outage of orders is over, and one transaction handles all three."""
    service.deliver_together(*(purchase.named(name) for name in order))
    service.retry_waiting()
    came_too_late = order == FACTS  # a payment that came before its order is handled after the batch
    assert is_confirmed(service) == came_too_late
    assert find_hold(service.order()) == (None if came_too_late else "stock")


def test_order_in_doubt_does_not_ship_until_the_answer(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.doubted(), purchase.completed())
    assert problem_of(post(client, service, "shipments")) == (409, "order-awaits-stock")
    service.deliver(purchase.committed())
    assert post(client, service, "shipments").status_code == 201


def test_accepted_review_of_an_order_in_doubt_waits(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    """The doubt arrives during the review of another mismatch."""
    service.deliver(purchase.started(), purchase.completed(amount_total=1000), purchase.doubted())
    assert post(client, service, "review", decision="accept").status_code == 200
    assert not is_confirmed(service)
    service.deliver(purchase.committed())
    assert is_confirmed(service)


def test_delayed_payment_of_a_cart_in_doubt_waits(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.unpaid(), purchase.doubted(), purchase.async_succeeded())
    assert not is_confirmed(service)
    service.deliver(purchase.committed())
    assert is_confirmed(service)
