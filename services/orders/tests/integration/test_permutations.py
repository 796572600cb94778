"""Stripe's events come in any order and repeatedly; whatever the order, the end is the same."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest
from events.testing.fixtures import MakeDatabase
from orders.models.chains import CHAINS

CARD = ("started", "intent_succeeded", "charge_succeeded", "completed")
PAID_ONCE = {"orders.order.paid": 1}
REPEATS = ["", "twin"]  # the same Event once more, or a second Event object of the same change


def orders(facts: Sequence[str]) -> list[tuple[str, ...]]:
    """Every order in which the facts may come, with repeats: any one of them late, each at once, all once more."""
    found: list[tuple[str, ...]] = []
    for order in permutations(facts):
        found += [(*order, late) for late in order]
        found += [tuple(fact for fact in order for _ in range(2)), order + order, order + order[::-1]]
    return found


def play(desk: Any, purchase: Any, order: Sequence[str], repeat: str) -> None:
    seen: set[str] = set()
    for fact in order:
        desk.tell(getattr(purchase, fact)(repeat if fact in seen else ""))
        seen.add(fact)
    desk.settle()


def end(desk: Any, checkout_id: str) -> tuple[str, bool, dict[str, int]]:
    order = desk.order(checkout_id)
    return order.status, order.needs_review, Counter(desk.types(checkout_id))


def check_card(desk: Any, purchase: Any, order: Sequence[str], repeat: str) -> None:
    play(desk, purchase, order, repeat)
    paid = desk.order(purchase.checkout_id)
    assert end(desk, purchase.checkout_id) == ("paid", False, PAID_ONCE), order
    assert paid.payment_intent == purchase.intent
    payments = [(payment.id, payment.status, payment.amount, payment.session_id) for payment in paid.payments]
    assert payments == [(purchase.intent, "succeeded", 5738, purchase.session_id)], order


@pytest.mark.parametrize("repeat", REPEATS, ids=["same event again", "second Event object"])
def test_every_order_of_a_card_purchase_pays_once(desk: Any, purchase: Any, repeat: str) -> None:
    for number, order in enumerate(orders(CARD)):
        check_card(desk, purchase(f"chk_{number}"), order, repeat)
    assert desk.unhandled() == []


def test_a_sample_of_orders_pays_once_on_postgresql(
    postgres_database: MakeDatabase, desk_on: Callable[..., Any], purchase: Any
) -> None:
    desk = desk_on(postgres_database(CHAINS))
    sample = random.Random(11).sample(orders(CARD), 60)  # noqa: S311 - the same orders in every run
    for number, order in enumerate(sample):
        check_card(desk, purchase(f"chk_{number}"), order, REPEATS[number % 2])
    assert desk.unhandled() == []


@pytest.mark.parametrize("repeat", REPEATS, ids=["same event again", "second Event object"])
@pytest.mark.parametrize(
    ("facts", "status", "at_most"),
    [
        (("started", "unpaid", "async_succeeded"), "paid", {"orders.payment.pending", "orders.order.paid"}),
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
def test_every_order_of_a_session_ends_alike(
    desk: Any, purchase: Any, facts: tuple[str, ...], status: str, at_most: set[str], repeat: str
) -> None:
    final = {"paid": "orders.order.paid", "payment_failed": "orders.payment.failed"}.get(status)
    for number, order in enumerate(orders(facts)):
        bought = purchase(f"chk_{number}")
        play(desk, bought, order, repeat)
        ended, needs_review, told = end(desk, bought.checkout_id)
        assert (ended, needs_review) == (status, False), order
        assert set(told) <= at_most, order
        assert set(told.values()) == {1}, order
        assert final is None or final in told, order
    assert desk.unhandled() == []


def test_every_order_with_oversold_leaves_a_paid_order_to_a_person(desk: Any, purchase: Any) -> None:
    for number, order in enumerate(orders(("started", "oversold", "completed"))):
        bought = purchase(f"chk_{number}")
        play(desk, bought, order, "")
        kept = desk.order(bought.checkout_id)
        assert (kept.status, kept.needs_review, kept.review_reason) == ("paid", True, "oversold"), order
        assert Counter(desk.types(bought.checkout_id))["orders.review.opened"] == 1, order


def test_facts_wait_for_their_order_and_then_come_at_once(desk: Any, purchase: Any) -> None:
    for number, order in enumerate(permutations(CARD[1:])):
        bought = purchase(f"chk_{number}")
        facts = [getattr(bought, fact)() for fact in order]
        assert desk.tell(*facts) == ["waiting"] * 3
        assert desk.tell(bought.started()) == ["done"]
        desk.settle()
        assert end(desk, bought.checkout_id) == ("paid", False, PAID_ONCE), order
