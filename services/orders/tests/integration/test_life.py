"""A purchase's whole life in every order of arrival, with repeats: the same statuses and the same sums in the end."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.testing.fixtures import MakeDatabase
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from orders.models.chains import CHAINS

Facts = dict[str, Callable[..., Event]]
numbers = itertools.count()


def card(purchase: Any) -> Facts:
    return {
        "started": purchase.started,
        "intent": purchase.intent_succeeded,
        "charge": purchase.charge_succeeded,
        "completed": purchase.completed,
    }


def delayed(purchase: Any, end: str) -> Facts:
    return {"started": purchase.started, "unpaid": purchase.unpaid, end: getattr(purchase, end)}


def refunded(purchase: Any) -> Facts:
    """A partial refund, and a second one that fails after it had succeeded."""

    def refund(refund_id: str, amount: int, status: str, kind: str) -> Callable[..., Event]:
        return lambda again="": purchase.refund(
            f"{refund_id}_{purchase.checkout_id}", amount, status, kind=kind, again=again
        )

    return {
        "first": refund("re_1", 1000, "succeeded", "created"),
        "first's sum": purchase.charge_refunded,
        "second": refund("re_2", 2000, "pending", "created"),
        "second succeeds": refund("re_2", 2000, "succeeded", "updated"),
        "second fails": refund("re_2", 2000, "failed", "failed"),
    }


def disputed(purchase: Any, end: str) -> Facts:
    """A partial refund, then the customer's bank takes the rest; the shop wins it back or loses."""

    def dispute(kind: str, status: str) -> Callable[..., Event]:
        return lambda again="": purchase.dispute(kind, status, amount=4738, again=again)

    back = {"reinstated": dispute("funds_reinstated", "won")} if end == "won" else {}
    return {
        "first": lambda again="": purchase.refund(f"re_1_{purchase.checkout_id}", 1000, again=again),
        "opened": dispute("created", "needs_response"),
        "withdrawn": dispute("funds_withdrawn", "needs_response"),
        "answered": dispute("updated", "under_review"),
        "closed": dispute("closed", end),
        **back,
    }


LIVES: dict[str, tuple[Callable[[Any], Facts], tuple[Any, ...]]] = {
    "a: async succeeded": (lambda one: delayed(one, "async_succeeded"), ("paid", 5738, 0, "none", "none", [], [])),
    "b: async failed": (lambda one: delayed(one, "async_failed"), ("payment_failed", 0, 0, "none", "none", [], [])),
    "c: two refunds, one fails": (
        lambda one: card(one) | refunded(one),
        ("paid", 5738, 1000, "partial", "none", [(1000, "succeeded"), (2000, "failed")], []),
    ),
    "d: dispute lost": (
        lambda one: card(one) | disputed(one, "lost"),
        ("paid", 5738, 1000, "partial", "lost", [(1000, "succeeded")], [("lost", True)]),
    ),
    "d: dispute won": (
        lambda one: card(one) | disputed(one, "won"),
        ("paid", 5738, 1000, "partial", "won", [(1000, "succeeded")], [("won", False)]),
    ),
}
AT_MOST_ONCE = {
    "orders.order.paid",
    "orders.payment.pending",
    "orders.payment.failed",
    "orders.dispute.opened",
    "orders.dispute.closed",
    "orders.refund.failed",
}


def end(desk: Any, checkout_id: str) -> tuple[Any, ...]:
    order = desk.order(checkout_id)
    sums = (order.amount_paid, order.amount_refunded, order.refund_status, order.dispute_status)
    refunds = sorted((refund.amount, refund.status) for refund in order.refunds)
    return order.status, *sums, refunds, [(dispute.status, dispute.funds_withdrawn) for dispute in order.disputes]


def check(desk: Any, checkout_id: str, expected: tuple[Any, ...], story: Sequence[str]) -> None:
    assert end(desk, checkout_id) == expected, story
    told = Counter(desk.types(checkout_id))
    assert all(told[kind] <= 1 for kind in AT_MOST_ONCE), (told, story)
    assert told["orders.order.paid"] == (expected[0] == "paid"), story
    assert told["orders.dispute.closed"] == len(expected[-1]), story
    assert not desk.order(checkout_id).needs_review, story


@pytest.mark.parametrize("life", LIVES)
def test_any_order_of_arrival_ends_alike(life: str, database: Database, desk: Any, purchase: Any) -> None:
    make, expected = LIVES[life]

    class Arrivals(RuleBasedStateMachine):
        """Anything that Stripe has to tell, at any time and again: the same Event, or a twin of it."""

        def __init__(self) -> None:
            super().__init__()
            self.purchase = purchase(f"chk_{next(numbers)}")
            self.facts = make(self.purchase)
            self.missing = dict(self.facts)
            self.story: list[str] = []

        @rule(pick=st.integers(0, 999), twin=st.booleans())
        def arrives(self, pick: int, *, twin: bool) -> None:
            name = list(self.facts)[pick % len(self.facts)]
            known = name not in self.missing
            self.missing.pop(name, None)
            self.story.append(f"{name}{' again' if known else ''}")
            desk.tell(self.facts[name]("twin" if known and twin else ""))

        @precondition(lambda self: "started" not in self.missing)  # else what waits for it would give up
        @rule()
        def time_passes(self) -> None:
            desk.settle()

        def teardown(self) -> None:
            desk.tell(*(fact() for fact in self.missing.values()))
            desk.settle()
            check(desk, self.purchase.checkout_id, expected, self.story)

    quick = settings(
        max_examples=10,
        stateful_step_count=14,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Arrivals, settings=quick)
    assert desk.unhandled() == []


def test_every_order_of_refunds_that_overtake_their_payment(desk: Any, purchase: Any) -> None:
    for order in itertools.permutations(["started", "completed", "first", "second", "second fails"]):
        bought = purchase(f"chk_{next(numbers)}")
        facts = card(bought) | refunded(bought)
        for name in order:
            desk.tell(facts[name](), facts[name]("twin"))
        desk.settle()
        check(desk, bought.checkout_id, LIVES["c: two refunds, one fails"][1], order)
    assert desk.unhandled() == []


@pytest.mark.parametrize("closing", ["lost", "won"])
def test_every_order_of_a_disputes_events(desk: Any, purchase: Any, closing: str) -> None:
    for order in itertools.permutations(["completed", "opened", "withdrawn", "closed"]):
        bought = purchase(f"chk_{next(numbers)}")
        facts = card(bought) | disputed(bought, closing)
        desk.tell(bought.started(), facts["first"](), *(facts[name](again) for name in order for again in ("", "twin")))
        desk.tell(*(facts[name]() for name in ("reinstated",) if name in facts))
        desk.settle()
        check(desk, bought.checkout_id, LIVES[f"d: dispute {closing}"][1], order)


def test_a_sample_of_orders_ends_alike_on_postgresql(
    postgres_database: MakeDatabase, desk_on: Callable[[Database], Any], purchase: Any
) -> None:
    desk, dice = desk_on(postgres_database(CHAINS)), random.Random(4)  # noqa: S311 - the same orders in every run
    for life, (make, expected) in LIVES.items():
        for _ in range(4):
            bought = purchase(f"chk_{next(numbers)}")
            facts = make(bought)
            story = dice.sample(list(facts) * 2, len(facts) * 2)
            desk.tell(*(facts[name](dice.choice(("", "twin"))) for name in story))
            desk.tell(*(fact() for fact in facts.values()))
            desk.settle()
            check(desk, bought.checkout_id, expected, [life, *story])
    assert desk.unhandled() == []
