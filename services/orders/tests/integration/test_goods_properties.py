"""Any sequence of refunds, parcels, failures and cancellations keeps goods, money and shelf in agreement."""

from collections import Counter
from typing import Any

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config
from orders.goods import load_goods
from orders.holds import find_hold, may_ship
from orders.models.orders import Order
from orders.repository import lock_order
from sqlalchemy import select

from services.orders.tests.harness import OPERATOR, FakeRefundGateway, OrdersService, Purchase

BOUGHT = {"TEE-M": 2, "SOCK": 1}
LINES = st.lists(
    st.fixed_dictionaries({"sku": st.sampled_from(sorted(BOUGHT)), "quantity": st.integers(1, 2)}),
    min_size=1,
    max_size=2,
    unique_by=lambda line: line["sku"],
)
REFUND_STATUSES = st.sampled_from(["succeeded", "pending", "requires_action"])
STEPS = st.one_of(
    st.tuples(st.just("refund-lines"), LINES, st.booleans(), REFUND_STATUSES),
    st.tuples(st.just("refund-all"), st.booleans(), REFUND_STATUSES),
    st.tuples(st.just("refund-amount"), st.sampled_from([500, 5738]), REFUND_STATUSES),
    st.tuples(st.just("without-money"), LINES, st.booleans()),
    st.tuples(st.just("ship"), LINES),
    st.tuples(st.just("ship-all")),
    st.tuples(st.just("end-refund"), st.integers(0, 5), st.sampled_from(["succeeded", "failed", "canceled"])),
    st.tuples(st.just("dashboard"), st.sampled_from([700, 5738]), st.sampled_from(["pending", "succeeded", "failed"])),
    st.tuples(st.just("cancel"), st.booleans()),
    st.tuples(st.just("dispute"), st.sampled_from(["needs_response", "warning_needs_response", "won", "lost"])),
    st.tuples(st.just("paid-again")),
    st.tuples(st.just("review"), st.sampled_from(["accept", "refund", "cancel"])),
)


class Store:
    """One order and its shelf: the pieces that are physically in the shop."""

    def __init__(self, service: OrdersService, app: Any, gateway: FakeRefundGateway, number: int) -> None:
        self.service, self.client, self.gateway = service, app.test_client(), gateway
        self.purchase = Purchase(f"chk_{number}")
        service.deliver(self.purchase.started(), self.purchase.completed())
        self.order_id = service.order(self.purchase.checkout_id).id
        self.steps = 0

    def act(self, name: str, *args: Any) -> None:  # noqa: C901 - one case for each step
        """Do one step. The service may refuse it."""
        self.steps += 1
        match name, args:
            case "refund-lines", (lines, restock, status):
                self._refund(status, lines=lines, restock=restock)
            case "refund-all", (restock, status):
                self._refund(status, all=True, restock=restock)
            case "refund-amount", (amount, status):
                self._refund(status, amount=amount)
            case "without-money", (lines, restock):
                self._post("refunds", lines=lines, restock=restock, without_money=True)
            case "ship", (lines,):
                self._post("shipments", lines=lines)
            case "ship-all", ():
                self._post("shipments", all=True)
            case "end-refund", (number, status):
                self._end_refund(number, status)
            case "dashboard", (amount, status):
                self.service.deliver(self.purchase.refund(f"re_{self.order_id}_{amount}", amount, status))
            case "cancel", (refund,):
                self._post("cancel", refund=refund)
            case "dispute", (status,):
                self.service.deliver(self.purchase.dispute(status=status, kind="updated"))
            case "paid-again", ():
                again = {"id": f"cs_{self.order_id}", "payment_intent": f"pi_again_{self.order_id}"}
                self.service.deliver(self.purchase.completed(f"again-{self.steps}", **again))
            case "review", (decision,):
                self._post("review", decision=decision)

    def _post(self, action: str, **body: Any) -> None:
        headers = OPERATOR | {"Idempotency-Key": f"key-{self.steps}"}
        answer = self.client.post(f"/orders/{self.order_id}/{action}", json=body, headers=headers)
        assert answer.status_code in (200, 201, 409, 422), answer.get_json()

    def _refund(self, status: str, **body: Any) -> None:
        self.gateway.status = status
        self._post("refunds", **body)

    def _end_refund(self, number: int, status: str) -> None:
        order = self.service.order(self.purchase.checkout_id)
        made = [refund for refund in order.refunds if refund.refund_request_id]
        if made:
            refund = made[number % len(made)]
            obj = next(one for one in self.gateway.refunds.values() if one["id"] == refund.id)
            self.service.deliver(self.purchase.stripe("refund.updated", obj | {"status": status}, str(self.steps)))

    def check(self) -> None:
        """Check the invariants."""
        order = self.service.order(self.purchase.checkout_id)
        with self.service.database.begin() as session:
            goods = load_goods(lock_order(session, order.id))
            picked = session.scalars(select(Order.id).where(may_ship(), Order.id == order.id)).all()
        for sku, bought in BOUGHT.items():
            numbers = goods.shipped.get(sku, 0), goods.refunded_unshipped[sku], goods.owed.get(sku, 0)
            assert sum(numbers) == bought
            assert all(number >= 0 for number in numbers)
        assert order.pieces_owed == sum(goods.owed.values()), "the stored number is up to date"
        assert bool(picked) == (find_hold(order) is None), "the rule is the same in SQL"
        self._check_shelf(order, goods)

    def _check_shelf(self, order: Order, goods: Any) -> None:
        """Check that each piece returned at most once, and that no owed piece is also for sale."""
        returned = Counter[str]()
        for event in self.service.published(self.purchase.checkout_id):
            sign = {"orders.stock.returned": 1, "orders.stock.taken": -1}.get(event.type, 0)
            for line in event.data["lines"] if sign else ():
                returned[line["sku"]] += sign * line["quantity"]
        for sku, bought in BOUGHT.items():
            counted = [
                line
                for request in order.refund_requests
                if request.counts_as_refunded and not request.is_unanswered
                for line in request.lines
                if line["sku"] == sku and line["restock"]
            ]
            assert sum(line["quantity"] for line in counted) <= returned[sku] <= bought - goods.owed.get(sku, 0)


@pytest.fixture(scope="module")
def numbers() -> Any:
    return iter(range(1_000_000))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=8))
def test_books_of_goods_agree_after_any_steps(
    steps: list[tuple[Any, ...]], database: Database, config: Config, numbers: Any
) -> None:
    gateway = FakeRefundGateway(prefix=f"re_{next(numbers)}_")
    store = Store(
        OrdersService(database), create_app(config, database=database, gateway=gateway), gateway, next(numbers)
    )
    for step in steps:
        store.act(*step)
        store.check()


def test_pick_list_is_the_same_rule_on_postgresql(
    postgres_database: MakeDatabase, config: Config, numbers: Any
) -> None:
    database, gateway = postgres_database(CHAINS), FakeRefundGateway(prefix="re_pg_")
    store = Store(
        OrdersService(database), create_app(config, database=database, gateway=gateway), gateway, next(numbers)
    )
    store.check()
    steps: list[tuple[Any, ...]] = [("dispute", "needs_response"), ("refund-amount", 5738, "pending"), ("cancel", True)]
    for step in steps:
        store.act(*step)
        store.check()
