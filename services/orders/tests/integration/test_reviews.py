"""Reviews: resolved once, by an operator or the policy, with the effects of the decision."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from flask.testing import FlaskClient
from orders import reviews
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config
from orders.models.orders import Order
from orders.refunds import processor
from orders.refunds.processor import RefundProcessor
from orders.refunds.requests import RefundParams, store_request
from orders.reviews import resolve_by_policy
from sqlalchemy import select

from services.orders.tests.harness import FakeRefundGateway, OrdersService, Purchase, post, problem_of


def test_accepted_review_confirms_the_order_and_lets_it_ship(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed(amount_total=5700))
    assert problem_of(post(client, service, "shipments")) == (409, "order-needs-review")
    answer = post(client, service, "review", decision="accept", note="38 cents are fine")
    assert (answer.status_code, answer.get_json()["needs_review"]) == (200, False)
    assert service.published_types() == ["orders.review.opened", "orders.review.resolved", "orders.order.paid"]
    assert post(client, service, "review", decision="accept").status_code == 200, "the same decision once more"
    assert problem_of(post(client, service, "review", decision="refund")) == (409, "review-resolved")
    assert len(service.published_types()) == 3
    assert post(client, service, "shipments").status_code == 201
    assert "ana accepted the order (amount-mismatch). “38 cents are fine”" in service.entry_texts()


def test_refunded_review_returns_the_money_and_the_pieces(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.oversold(), purchase.completed())
    body = post(client, service, "review", decision="refund").get_json()
    assert (body["amount_refunded"], body["refund_status"], body["reviews"][0]["resolved_by"]) == (5738, "full", "ana")
    one_of_each = [{"sku": "TEE-M", "quantity": 1}, {"sku": "SOCK", "quantity": 1}]
    assert service.returned_lines() == [one_of_each], "one tee was missing"
    assert "orders.order.paid" not in service.published_types()
    assert problem_of(post(client, service, "shipments")) == (409, "shipping-canceled")
    service.deliver(purchase.oversold("again"))
    assert not service.order().needs_review, "a resolved review is not opened again"


def test_canceled_review_neither_ships_nor_refunds(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed(currency="usd"))
    post(client, service, "review", decision="cancel")
    assert [request.amount for request in service.order().refund_requests] == [0], "only the pieces are recorded"
    assert service.returned_lines() == [[{"sku": "TEE-M", "quantity": 2}, {"sku": "SOCK", "quantity": 1}]]
    order = service.order()
    assert (order.fulfillment_status, order.pieces_owed) == ("canceled", 0)
    types = ["orders.review.opened", "orders.goods.changed", "orders.stock.returned", "orders.review.resolved"]
    assert sorted(service.published_types()) == sorted(types)
    assert problem_of(post(client, service, "shipments")) == (409, "shipping-canceled")


def test_duplicate_payment_is_refunded_and_the_order_ships(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    again = purchase.completed("again", id="cs_2", payment_intent="pi_2")
    service.deliver(purchase.started(), purchase.completed(), again)
    post(client, service, "review", decision="refund")
    assert [(refund.payment_id, refund.amount) for refund in service.order().refunds] == [("pi_2", 5738)]
    assert (service.returned_lines(), post(client, service, "shipments").status_code) == ([], 201)


def test_refunds_of_many_payments_are_left_to_the_worker(
    service: OrdersService,
    purchase: Purchase,
    client: FlaskClient,
    database: Database,
    gateway: FakeRefundGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "SENDING_BUDGET_S", 0.0)
    again = [purchase.completed(f"{n}", id=f"cs_{n}", payment_intent=f"pi_{n}") for n in range(5)]
    service.deliver(purchase.started(), purchase.completed(), *again)
    body: Any = post(client, service, "review", decision="refund").get_json()
    assert sorted(request["status"] for request in body["refund_requests"]) == ["requested"] * 4 + ["succeeded"]
    assert len(gateway.request_ids) == 1, "one call to Stripe has used up the time"
    assert RefundProcessor(database, gateway).resume_due() == 4, "the rest is due at once"
    refunded = {refund.payment_id: refund.amount for refund in service.order().refunds}
    assert refunded == {f"pi_{n}": 5738 for n in range(5)}
    assert len(gateway.request_ids) == 5


def test_review_that_is_not_open_or_not_paid_is_refused(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started())
    assert problem_of(post(client, service, "review", decision="accept")) == (409, "nothing-to-review")
    service.deliver(purchase.oversold())
    assert problem_of(post(client, service, "review", decision="accept")) == (409, "order-not-paid")


def test_policy_refunds_orders_with_its_reasons(
    service: OrdersService, purchase: Purchase, database: Database, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.oversold(), purchase.completed())
    resolve_by_policy(database, ["amount-mismatch"])
    assert service.order().needs_review
    for _ in range(2):
        resolve_by_policy(database, ["oversold"])
        RefundProcessor(database, gateway).resume_due()
    order = service.order()
    assert (order.refund_status, len(order.refunds), order.reviews[0].resolved_by) == ("full", 1, "policy")


def test_failing_decision_delays_no_other_order(
    service: OrdersService, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest orders are disputed, wait for a person, or have a row that no code can read."""
    monkeypatch.setattr(reviews, "POLICY_BATCH_SIZE", 2)
    ids = ["chk_disputed", "chk_other", "chk_broken", "chk_4", "chk_5"]
    for purchase in map(Purchase, ids):
        service.deliver(purchase.started(), purchase.oversold(), purchase.completed())
    service.deliver(Purchase("chk_disputed").dispute(), Purchase("chk_other").fraud_warning())
    with database.begin() as session:
        order = session.scalars(select(Order).where(Order.checkout_id == "chk_broken")).one()
        request = store_request(session, order, order.payments[0], 0, [], RefundParams(), "k", "ana")
        request.lines = [{"sku": "TEE-M"}]
    resolve_by_policy(database, ["oversold"])
    left = [checkout_id for checkout_id in ids if service.order(checkout_id).needs_review]
    assert left == ["chk_disputed", "chk_other", "chk_broken"]


def test_locked_order_delays_no_other_order(postgres_database: MakeDatabase) -> None:
    database = postgres_database(CHAINS)
    service = OrdersService(database)
    for purchase in (Purchase("chk_1"), Purchase("chk_2")):
        service.deliver(purchase.started(), purchase.oversold(), purchase.completed())
    with database.begin() as session:
        session.execute(select(Order).where(Order.checkout_id == "chk_1").with_for_update())
        resolve_by_policy(database, ["oversold"])
        assert (service.order("chk_1").needs_review, service.order("chk_2").needs_review) == (True, False)
    resolve_by_policy(database, ["oversold"])
    assert not service.order("chk_1").needs_review


def test_two_operators_at_once_resolve_a_review_once(
    postgres_database: MakeDatabase, purchase: Purchase, config: Config, gateway: FakeRefundGateway
) -> None:
    database = postgres_database(CHAINS)
    service = OrdersService(database)
    service.deliver(purchase.started(), purchase.oversold(), purchase.completed())
    app = create_app(config, database=database, gateway=gateway)

    def resolve(decision: str) -> Any:
        return post(app.test_client(), service, "review", decision=decision)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(resolve, ["accept", "refund", "accept", "refund"]))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    assert service.published_types().count("orders.review.resolved") == 1
    is_refunded = service.order().reviews[0].decision == "refund"
    paid_events = service.published_types().count("orders.order.paid")
    assert (len(service.order().refunds), paid_events) == ((1, 0) if is_refunded else (0, 1))
