"""Whole purchases with refunds and disputes, in every order of arrival and with repeats: the end is the same."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.testing.arrival import each_order
from events.testing.fixtures import MakeDatabase
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from orders.chains import CHAINS

from services.orders.tests.harness import OrdersService, Purchase

BuildEvent = Callable[[str], Event]  # the argument is `again`, as in Purchase
Facts = dict[str, BuildEvent]
End = tuple[Any, ...]
numbers = itertools.count()


def card(purchase: Purchase) -> Facts:
    return {
        "started": purchase.started,
        "intent": purchase.intent_succeeded,
        "charge": purchase.charge_succeeded,
        "completed": purchase.completed,
    }


def delayed(purchase: Purchase, end: str) -> Facts:
    return {
        "started": purchase.started,
        "unpaid": purchase.unpaid,
        end: lambda again: purchase.named(end, again),
    }


def refunded(purchase: Purchase) -> Facts:
    """Return a partial refund, and a second one that fails after it succeeded."""

    def refund(refund_id: str, amount: int, status: str, kind: str) -> BuildEvent:
        own_id = f"{refund_id}_{purchase.checkout_id}"
        return lambda again: purchase.refund(own_id, amount, status, kind=kind, again=again)

    return {
        "first": refund("re_1", 1000, "succeeded", "created"),
        "first's sum": purchase.charge_refunded,
        "second": refund("re_2", 2000, "pending", "created"),
        "second succeeds": refund("re_2", 2000, "succeeded", "updated"),
        "second fails": refund("re_2", 2000, "failed", "failed"),
    }


def disputed(purchase: Purchase, end: str) -> Facts:
    """Return a partial refund and a dispute about the rest, which the shop wins or loses."""

    def dispute(kind: str, status: str) -> BuildEvent:
        return lambda again: purchase.dispute(kind, status, amount=4738, again=again)

    reinstated = {"reinstated": dispute("funds_reinstated", "won")} if end == "won" else {}
    return {
        "first": lambda again: purchase.refund(f"re_1_{purchase.checkout_id}", 1000, again=again),
        "opened": dispute("created", "needs_response"),
        "withdrawn": dispute("funds_withdrawn", "needs_response"),
        "answered": dispute("updated", "under_review"),
        "closed": dispute("closed", end),
        **reinstated,
    }


def appealed(purchase: Purchase) -> Facts:
    """Return a partial refund and a dispute about the rest, lost in part, then appealed and won."""
    day = 24 * 3600
    took, gave, rest = (
        {"id": f"txn_{name}_{purchase.checkout_id}", "amount": amount, "created": 1_793_700_000 + at, "currency": "eur"}
        for name, amount, at in (("took", -4738, 0), ("gave", 1000, 20 * day), ("rest", 3738, 60 * day))
    )

    def dispute(kind: str, status: str, days: int, *moves: Any) -> BuildEvent:
        more = {"amount": 4738, "balance_transactions": list(moves), "after": days * day}
        return lambda again: purchase.dispute(kind, status, again=again, **more)

    return {
        "first": lambda again: purchase.refund(f"re_1_{purchase.checkout_id}", 1000, again=again),
        "opened": dispute("created", "needs_response", 1, took),
        "lost": dispute("closed", "lost", 20, took, gave),
        "appealed": dispute("updated", "appeal_needs_response", 30, took, gave),
        "answered": dispute("updated", "appeal_under_review", 31, took, gave),
        "won": dispute("closed", "won", 60, took, gave, rest),
    }


def recovered(purchase: Purchase) -> Facts:
    """Return a delayed payment that failed, and another one of the recovered cart that succeeded."""
    ids = {"id": f"cs_b_{purchase.checkout_id}", "payment_intent": f"pi_b_{purchase.checkout_id}"}
    return {
        "started": purchase.started,
        "first unpaid": purchase.unpaid,
        "first failed": purchase.async_failed,
        "second unpaid": lambda again: purchase.session("completed", f"b{again}", payment_status="unpaid", **ids),
        "second paid": lambda again: purchase.session("async_payment_succeeded", f"b{again}", **ids),
    }


def unclear(purchase: Purchase) -> Facts:
    """Return refunds whose statuses go back and forth, are unknown, or fail at the end."""
    day = 24 * 3600

    def refund(number: int, status: str, days: int, kind: str = "updated") -> BuildEvent:
        own_id = f"re_{number}_{purchase.checkout_id}"
        return lambda again: purchase.refund(own_id, 1000, status, kind=kind, again=f"{days}{again}", after=days * day)

    return {
        "1 pending": refund(1, "pending", 0, "created"),
        "1 waits": refund(1, "requires_action", 1),
        "1 pending again": refund(1, "pending", 2),
        "2 unknown": refund(2, "in_transit", 0, "created"),
        "3 unknown": refund(3, "in_transit", 0, "created"),
        "3 fails": refund(3, "failed", 9, "failed"),
    }


LIVES: dict[str, tuple[Callable[[Purchase], Facts], End]] = {
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
    "d: dispute appealed": (
        lambda one: card(one) | appealed(one),
        ("paid", 5738, 1000, "partial", "won", [(1000, "succeeded")], [("won", False)]),
    ),
    "e: recovered cart, delayed": (recovered, ("paid", 5738, 0, "none", "none", [], [])),
    "f: unclear refunds": (
        lambda one: card(one) | unclear(one),
        ("paid", 5738, 0, "none", "none", [(1000, "failed"), (1000, "in_transit"), (1000, "pending")], []),
    ),
    "d: dispute won": (
        lambda one: card(one) | disputed(one, "won"),
        ("paid", 5738, 1000, "partial", "won", [(1000, "succeeded")], [("won", False)]),
    ),
}
AT_MOST = {"orders.dispute.closed": 2, "orders.payment.pending": 2}  # an appeal has a second end, a cart two sessions
AT_MOST_ONCE = {
    "orders.order.paid",
    "orders.payment.pending",
    "orders.payment.failed",
    "orders.dispute.opened",
    "orders.dispute.closed",
    "orders.refund.failed",
}


def end_of(service: OrdersService, checkout_id: str) -> End:
    order = service.order(checkout_id)
    totals = (order.amount_paid, order.amount_refunded, order.refund_status, order.dispute_status)
    refunds = sorted((refund.amount, refund.status) for refund in order.refunds)
    return order.status, *totals, refunds, [(dispute.status, dispute.funds_withdrawn) for dispute in order.disputes]


def check(service: OrdersService, checkout_id: str, expected: End, history: Sequence[str]) -> None:
    assert end_of(service, checkout_id) == expected, history
    published = Counter(service.published_types(checkout_id))
    assert all(published[kind] <= AT_MOST.get(kind, 1) for kind in AT_MOST_ONCE), (published, history)
    assert published["orders.order.paid"] == (expected[0] == "paid"), history
    assert len(expected[-1]) <= published["orders.dispute.closed"] <= 2 * len(expected[-1]), history
    assert not service.order(checkout_id).needs_review, history


@pytest.mark.parametrize("life", LIVES)
def test_any_order_of_arrival_ends_alike(life: str, database: Database, service: OrdersService) -> None:
    make, expected = LIVES[life]

    class Arrivals(RuleBasedStateMachine):
        """Deliveries of any fact at any time and repeatedly: the same event, or a second one about the change."""

        def __init__(self) -> None:
            super().__init__()
            self.purchase = Purchase(f"chk_{next(numbers)}")
            self.facts = make(self.purchase)
            self.missing = dict(self.facts)
            self.history: list[str] = []

        @rule(pick=st.integers(0, 999), twin=st.booleans())
        def arrives(self, pick: int, *, twin: bool) -> None:
            name = list(self.facts)[pick % len(self.facts)]
            known = name not in self.missing
            self.missing.pop(name, None)
            self.history.append(f"{name}{' again' if known else ''}")
            service.deliver(self.facts[name]("twin" if known and twin else ""))

        @precondition(lambda self: "started" not in self.missing)  # without it, waiting events would fail for good
        @rule()
        def time_passes(self) -> None:
            service.retry_waiting()

        def teardown(self) -> None:
            service.deliver(*(fact("") for fact in self.missing.values()))
            service.retry_waiting()
            check(service, self.purchase.checkout_id, expected, self.history)

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
    assert service.unfinished() == []


def test_every_order_of_refunds_and_their_payment_ends_alike(service: OrdersService) -> None:
    purchase = Purchase("chk_1")
    facts = card(purchase) | refunded(purchase)

    def deliver_twice(_before: Sequence[str], name: str) -> None:
        service.deliver(facts[name](""), facts[name]("twin"))

    orders = itertools.permutations(["started", "completed", "first", "second", "second fails"])
    for order in each_order(service.database, orders, deliver_twice):
        service.retry_waiting()
        check(service, purchase.checkout_id, LIVES["c: two refunds, one fails"][1], order)
        assert service.unfinished() == [], order


@pytest.mark.parametrize("end", ["lost", "won"])
def test_every_order_of_a_disputes_events_ends_alike(service: OrdersService, end: str) -> None:
    purchase = Purchase("chk_1")
    facts = card(purchase) | disputed(purchase, end)
    service.deliver(purchase.started(), facts["first"](""))

    def deliver_twice(_before: Sequence[str], name: str) -> None:
        service.deliver(facts[name](""), facts[name]("twin"))

    orders = itertools.permutations(["completed", "opened", "withdrawn", "closed"])
    for order in each_order(service.database, orders, deliver_twice):
        service.deliver(*(facts[name]("") for name in ("reinstated",) if name in facts))
        service.retry_waiting()
        check(service, purchase.checkout_id, LIVES[f"d: dispute {end}"][1], order)


def test_sample_of_orders_ends_alike_on_postgresql(postgres_database: MakeDatabase) -> None:
    service, dice = OrdersService(postgres_database(CHAINS)), random.Random(4)  # noqa: S311 - the same in every run
    for life, (make, expected) in LIVES.items():
        for _ in range(2):
            purchase = Purchase(f"chk_{next(numbers)}")
            facts = make(purchase)
            history = dice.sample(list(facts) * 2, len(facts) * 2)
            service.deliver(*(facts[name](dice.choice(("", "twin"))) for name in history))
            service.deliver(*(fact("") for fact in facts.values()))
            service.retry_waiting()
            check(service, purchase.checkout_id, expected, [life, *history])
    assert service.unfinished() == []
