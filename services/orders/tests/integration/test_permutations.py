"""Every order in which one purchase's events can arrive, also with repeats, ends in the same state."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations

import pytest
from events.testing.arrival import each_order
from events.testing.fixtures import MakeDatabase
from orders.chains import CHAINS

from services.orders.tests.harness import OrdersService, Purchase

CARD = ("started", "intent_succeeded", "charge_succeeded", "completed")
PAID_ONCE = {"orders.order.paid": 1}
REPEATS = ["", "twin"]  # the same event once more, or a second event about the same change
REPEAT_IDS = ["same event again", "second Event object"]


def arrivals(facts: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every order of the facts with repeats: one of them late, each twice in a row, all of them twice."""
    found: list[tuple[str, ...]] = []
    for order in permutations(facts):
        found += [(*order, late) for late in order]
        found += [tuple(fact for fact in order for _ in range(2)), order + order, order + order[::-1]]
    return found


def deliver_all(service: OrdersService, purchase: Purchase, order: Sequence[str], repeat: str) -> None:
    for place, fact in enumerate(order):
        service.deliver(purchase.named(fact, repeat if fact in order[:place] else ""))
    service.retry_waiting()


def each_end(
    service: OrdersService, purchase: Purchase, facts: Sequence[str], repeat: str = ""
) -> Iterator[Sequence[str]]:
    """Yield each order of the facts, with repeats, after the service has handled it completely."""

    def deliver(before: Sequence[str], fact: str) -> None:
        service.deliver(purchase.named(fact, repeat if fact in before else ""))

    for order in each_order(service.database, arrivals(facts), deliver):
        service.retry_waiting()
        assert service.unfinished() == [], order
        yield order


def end_of(service: OrdersService, checkout_id: str) -> tuple[str, bool, dict[str, int]]:
    order = service.order(checkout_id)
    return order.status, order.needs_review, Counter(service.published_types(checkout_id))


def check_card(service: OrdersService, purchase: Purchase, order: Sequence[str]) -> None:
    paid = service.order(purchase.checkout_id)
    assert end_of(service, purchase.checkout_id) == ("paid", False, PAID_ONCE), order
    assert paid.payment_intent == purchase.intent
    payments = [(payment.id, payment.status, payment.amount, payment.session_id) for payment in paid.payments]
    assert payments == [(purchase.intent, "succeeded", 5738, purchase.session_id)], order


@pytest.mark.parametrize("repeat", REPEATS, ids=REPEAT_IDS)
def test_every_order_of_a_card_purchase_pays_once(service: OrdersService, repeat: str) -> None:
    purchase = Purchase("chk_1")
    for order in each_end(service, purchase, CARD, repeat):
        check_card(service, purchase, order)


def test_sample_of_orders_pays_once_on_postgresql(postgres_database: MakeDatabase) -> None:
    service = OrdersService(postgres_database(CHAINS))
    sample = random.Random(11).sample(arrivals(CARD), 24)  # noqa: S311 - the same orders in every run
    for number, order in enumerate(sample):
        purchase = Purchase(f"chk_{number}")
        deliver_all(service, purchase, order, REPEATS[number % 2])
        check_card(service, purchase, order)
    assert service.unfinished() == []


@pytest.mark.parametrize("repeat", REPEATS, ids=REPEAT_IDS)
@pytest.mark.parametrize(
    ("facts", "status", "at_most"),
    [
        (("started", "unpaid", "async_succeeded"), "paid", {"orders.payment.pending", "orders.order.paid"}),
        (
            ("started", "unknown_status", "async_failed"),
            "payment_failed",
            {"orders.payment.pending", "orders.payment.failed"},
        ),
        (
            ("started", "unpaid", "async_failed"),
            "payment_failed",
            {"orders.payment.pending", "orders.payment.failed"},
        ),
        (("started", "async_failed", "completed"), "paid", {"orders.payment.failed", "orders.order.paid"}),
        (("started", "expired", "completed"), "paid", {"orders.order.expired", "orders.order.paid"}),
        (("started", "canceled", "completed"), "paid", {"orders.order.canceled", "orders.order.paid"}),
        (("started", "canceled", "expired"), "canceled", {"orders.order.canceled", "orders.order.expired"}),
    ],
)
def test_every_order_of_a_sessions_events_ends_alike(
    service: OrdersService, facts: tuple[str, ...], status: str, at_most: set[str], repeat: str
) -> None:
    final = {"paid": "orders.order.paid", "payment_failed": "orders.payment.failed"}.get(status)
    for order in each_end(service, Purchase("chk_1"), facts, repeat):
        ended, needs_review, published = end_of(service, "chk_1")
        assert (ended, needs_review) == (status, False), order
        assert set(published) <= at_most, order
        assert set(published.values()) == {1}, order
        assert final is None or final in published, order


def test_every_order_with_oversold_opens_one_review(service: OrdersService) -> None:
    for order in each_end(service, Purchase("chk_1"), ("started", "oversold", "completed")):
        kept = service.order()
        assert (kept.status, kept.needs_review, kept.review_reason) == ("paid", True, "oversold"), order
        assert Counter(service.published_types())["orders.review.opened"] == 1, order


@pytest.mark.parametrize("stock", ["committed", "oversold"])
def test_every_order_of_a_recovered_delayed_cart_ends_alike(service: OrdersService, stock: str) -> None:
    """Inventory's answer alone decides if the order is confirmed or reviewed."""
    purchase = Purchase("chk_1")
    second = {"id": "cs_2", "payment_intent": "pi_2", "recovered_from": purchase.session_id}
    facts = {
        "expired": purchase.expired,
        "unpaid": lambda again: purchase.session("completed", f"2{again}", payment_status="unpaid", **second),
        "paid": lambda again: purchase.session("async_payment_succeeded", f"2{again}", **second),
        stock: lambda again: purchase.named(stock, again),
    }
    service.deliver(purchase.started())

    def deliver_twice(_before: Sequence[str], name: str) -> None:
        service.deliver(facts[name](""), facts[name]("twin"))

    for order in each_order(service.database, permutations(facts), deliver_twice):
        service.retry_waiting()
        status, needs_review, published = end_of(service, "chk_1")
        assert (status, needs_review) == ("paid", stock == "oversold"), order
        assert published.get("orders.order.paid", 0) == (stock == "committed"), order
        assert set(published.values()) == {1}, order
        assert [payment.id for payment in service.order().payments] == ["pi_2"], order
        assert service.unfinished() == [], order


def test_facts_before_their_order_wait_for_it(service: OrdersService) -> None:
    for number, order in enumerate(permutations(CARD[1:])):
        purchase = Purchase(f"chk_{number}")
        assert service.deliver(*(purchase.named(fact) for fact in order)) == ["waiting"] * 3
        assert service.deliver(purchase.started()) == ["done"]
        service.retry_waiting()
        assert end_of(service, purchase.checkout_id) == ("paid", False, PAID_ONCE), order
