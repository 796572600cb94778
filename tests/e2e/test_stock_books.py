"""The stock and the books: any sequence of refunds, failures, parcels, returns and other customers keeps them equal.

Operators act through the HTTP of orders, and refunds are made at the fake Stripe. The events of Stripe arrive twice,
the newest first.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from events.clock import utcnow
from events.testing.fixtures import MakeDatabase
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inventory import stock_changes
from inventory.models import Movement, ReservationLine, StockItem
from orders.goods import load_goods
from orders.models.orders import Order
from orders.models.stock_returns import StockReturn
from sqlalchemy import func, select

from tests.e2e.in_process import OPERATOR, Shop

BOUGHT = 3
STATUSES = st.sampled_from(["succeeded", "pending"])
STEPS = st.one_of(
    st.tuples(st.just("refund"), st.integers(1, BOUGHT), STATUSES),
    st.tuples(st.just("refund all"), STATUSES),
    st.tuples(st.just("fail"), st.integers(0, 3)),
    st.tuples(st.just("refund last payment"), STATUSES),
    st.tuples(st.just("refund last payment in the dashboard"), st.sampled_from([1999, 3 * 1999])),
    st.tuples(st.just("ship"), st.integers(1, 2)),
    st.tuples(st.just("sell"), st.integers(1, 2)),
    st.tuples(st.just("delivery"), st.integers(1, 2)),
    st.tuples(st.just("accept")),
    st.tuples(st.just("cancel")),
)
numbers = itertools.count()


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    return (f"key-{number}" for number in itertools.count())


@pytest.fixture
def shop(sqlite_database: MakeDatabase) -> Iterator[Shop]:
    made = Shop(sqlite_database)
    yield made
    made.inventory.close()


class Purchase:
    """One order of three pieces of a product, of which some were lost before the payment arrived.

    The customer pays its session or, if `recovered` is not 0, lets it expire and pays that many recovered sessions.
    """

    def __init__(self, shop: Shop, keys: Iterator[str], lost: int, recovered: int) -> None:
        self.shop, self.keys, self.sku, self.operators = shop, keys, f"SKU-{next(numbers)}", shop.operators()
        shop.seed(**{self.sku: BOUGHT})
        self.started = shop.start(next(keys), BOUGHT, sku=self.sku)
        self.paid_sessions: list[str] = []
        if recovered:
            shop.at_stripe("expire", self.started)
            shop.deliver_events()
        if lost:
            self._move(-lost)
        for _ in range(max(1, recovered)):
            self._pay(recovered=bool(recovered))
            shop.deliver_events()

    def act(self, name: str, *args: Any) -> None:  # noqa: C901 - one case for each step
        """Do one step. The service may refuse it."""
        match name, args:
            case "refund", (pieces, status):
                self._refund(status, lines=[{"sku": self.sku, "quantity": pieces}], restock=True)
            case "refund all", (status,):
                self._refund(status, all=True, restock=True)
            case "refund last payment in the dashboard", (amount,) if len(self.paid_sessions) > 1:
                body = {"session_id": self.paid_sessions[-1], "amount": amount}
                self.shop.control.post("/_control/refund", json=body)  # Stripe may refuse it: too little is left
            case "refund last payment", (status,) if len(self.paid_sessions) > 1:  # it has no pieces
                session = self.shop.account.store.get("checkout.session", self.paid_sessions[-1])
                self._refund(status, all=True, payment_id=session["payment_intent"])
            case "fail", (number,):
                made = [refund for refund in self.order().refunds if refund.status in ("pending", "succeeded")]
                if made:
                    body = {"refund_id": made[number % len(made)].id, "status": "failed"}
                    assert self.shop.control.post("/_control/refund", json=body).status_code == 200
            case "ship", (pieces,) if pieces <= self.held() + self.on_hand():  # only what is there goes into a parcel
                self._post("shipments", lines=[{"sku": self.sku, "quantity": pieces}])
            case "sell", (pieces,) if pieces <= self.on_hand():
                other = self.shop.start(next(self.keys), pieces, sku=self.sku)
                self.shop.at_stripe("pay", other, method="card")
            case "delivery", (pieces,):
                self._move(pieces)
            case "accept", ():
                self._post("review", decision="accept")
            case "cancel", ():
                self._post("cancel", refund=False)
        self.shop.deliver_events()

    def check(self) -> None:
        """Check that every piece that left the stock is with the customer, or held for a parcel, and counted once."""
        order = self.order()
        with self.shop.databases["orders"].begin() as session:
            goods = load_goods(session.merge(order))
            came_back = select(func.coalesce(func.sum(StockReturn.shipped), 0)).where(StockReturn.order_id == order.id)
            shipped, back = goods.shipped.get(self.sku, 0), session.scalar(came_back) or 0
        owed = goods.owed.get(self.sku, 0)
        assert shipped + goods.refunded_unshipped[self.sku] + owed == BOUGHT
        with self.shop.databases["inventory"].read() as session:
            moved = select(func.coalesce(func.sum(Movement.delta), 0)).where(Movement.sku == self.sku)
            left = -(session.scalar(moved.where(Movement.checkout_id == self.started.id)) or 0)
            assert session.scalar(moved) == self.on_hand(), "the stock is what the books say"
        assert left == shipped - back + self.held()
        assert self.held() <= owed

    def order(self) -> Order:
        with self.shop.databases["orders"].read() as session:
            order = session.scalars(select(Order).where(Order.checkout_id == self.started.id)).one()
            assert order.refunds is not None
            return order

    def held(self) -> int:
        """Return the sold pieces of this order that wait for a parcel."""
        with self.shop.databases["inventory"].read() as session:
            return session.get_one(ReservationLine, (self.started.id, self.sku)).sold_unshipped

    def on_hand(self) -> int:
        with self.shop.databases["inventory"].read() as session:
            return session.get_one(StockItem, self.sku).on_hand

    def _pay(self, *, recovered: bool) -> None:
        session_id = self.started.session_id
        if recovered:
            answer = self.shop.control.post("/_control/recover", json={"session_id": session_id})
            session_id = answer.get_json()["id"]
        body = {"session_id": session_id, "method": "card"}
        assert self.shop.control.post("/_control/pay", json=body).status_code == 200
        self.paid_sessions.append(str(session_id))

    def _refund(self, status: str, **body: Any) -> None:
        if status == "pending":
            self.shop.control.post("/_control/next-refund", json={"status": status})
        if self._post("refunds", **body) >= 400:
            self.shop.account.next_refund_statuses.clear()

    def _post(self, action: str, **body: Any) -> int:
        headers = {**OPERATOR, "Idempotency-Key": next(self.keys)}
        answer = self.operators.post(f"/orders/{self.order().id}/{action}", json=body, headers=headers)
        assert answer.status_code in (200, 201, 409, 422), answer.get_json()
        return answer.status_code

    def _move(self, pieces: int) -> None:
        request = stock_changes.StockRequest(sku=self.sku, adjust=pieces, reason="property")
        with self.shop.databases["inventory"].begin() as session:
            stock_changes.change_stock(session, request, None, actor="zoe", now=utcnow())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@example(lost=0, recovered=2, steps=[("refund last payment", "succeeded")])
@given(lost=st.integers(0, 2), recovered=st.integers(0, 2), steps=st.lists(STEPS, min_size=1, max_size=8))
def test_stock_and_books_agree_after_any_steps(
    lost: int, recovered: int, steps: list[tuple[Any, ...]], shop: Shop, keys: Iterator[str]
) -> None:
    purchase = Purchase(shop, keys, lost, recovered)
    for step in steps:
        purchase.act(*step)
        purchase.check()
