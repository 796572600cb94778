"""The queries of the hot path: a batch of payments needs as many as one payment."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.messaging.runner import Runner
from orders.handlers import handlers
from sqlalchemy import event

from services.orders.tests.harness import OrdersService, Purchase


@contextmanager
def counted_selects(database: Database) -> Iterator["Counter[str]"]:
    """Provide the numbers of SELECTs, by the first table that each reads."""
    tables: Counter[str] = Counter()

    def count(*args: object) -> None:
        if (statement := str(args[2])).startswith("SELECT"):
            tables[statement.partition(" \nFROM ")[2].split()[0]] += 1

    event.listen(database.engine, "before_cursor_execute", count)
    yield tables
    event.remove(database.engine, "before_cursor_execute", count)


def handle(service: OrdersService, *events: Event) -> "Counter[str]":
    with counted_selects(service.database) as selects:
        Runner(service.database, handlers).handle(events)
    return selects


def test_batch_of_payments_selects_as_much_as_one(service: OrdersService) -> None:
    purchases = [Purchase(f"chk_{number}") for number in range(7)]
    handle(service, *(purchase.started() for purchase in purchases))
    two = handle(service, *(purchase.completed() for purchase in purchases[:2]))
    five = handle(service, *(purchase.completed() for purchase in purchases[2:]))
    assert two == five
    assert [service.order(purchase.checkout_id).status for purchase in purchases] == ["paid"] * 7


def test_rare_rows_are_looked_for_with_one_query(service: OrdersService) -> None:
    fresh, returned = Purchase("chk_fresh"), Purchase("chk_returned")
    handle(service, fresh.started(), returned.started())
    service.deliver(returned.oversold())  # a review before the payment
    selects = handle(service, fresh.completed())
    assert selects.keys() & {"refund_requests", "reviews", "shipments", "doubted_checkouts"} == set()
    assert handle(service, returned.completed())["reviews"] == 1
    assert "orders.order.paid" not in service.published_types(returned.checkout_id)


@pytest.mark.parametrize("name", ["intent_succeeded", "charge_succeeded"])
def test_unpaid_order_selects_no_goods(service: OrdersService, purchase: Purchase, name: str) -> None:
    service.deliver(purchase.started())
    selects = handle(service, purchase.named(name))
    assert selects.keys() & {"shipments", "refund_requests", "reviews"} == set()
    assert service.order().payments[0].status == "succeeded"


def test_review_within_the_batch_holds_the_order(service: OrdersService, purchase: Purchase) -> None:
    """The reviews were read before the one that the batch itself opens."""
    handle(service, purchase.started(), purchase.oversold(), purchase.completed())
    assert service.order().needs_review
    assert "orders.order.paid" not in service.published_types()
