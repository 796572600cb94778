"""What single facts do to an order, and what people see of it."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from events.database.migrations import downgrade, migrate
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import checkout_session
from flask.testing import FlaskClient
from orders.models.base import Base
from orders.models.chains import CHAINS

OPERATOR = {"Authorization": "Bearer operator-token-of-ana"}


def test_pending_customer_is_told_before_the_money_comes(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.unpaid())
    order = desk.order()
    assert (order.status, order.customer_email) == ("payment_pending", "zoe@example.com")
    assert desk.types() == ["orders.payment.pending"]


@pytest.mark.parametrize("late", ["async_failed", "expired", "canceled"])
def test_late_failure_does_not_unpay_the_order(desk: Any, bought: Any, late: str) -> None:
    desk.tell(bought.started(), bought.completed(), getattr(bought, late)())
    assert desk.order().status == "paid"
    assert desk.types() == ["orders.order.paid"]


def test_expiry_brings_the_recovery_link(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.expired())
    [event] = desk.published()
    assert event.data["recovery_url"] == "https://buy.stripe.com/r/test_1"


def test_recovered_cart_is_a_new_session_of_the_old_order(desk: Any, bought: Any, client: FlaskClient) -> None:
    paid = {"id": "cs_2", "recovered_from": bought.session_id, "payment_intent": "pi_2"}
    desk.tell(bought.started(), bought.expired(), bought.completed(**paid))
    order = desk.order()
    assert (order.status, order.session_id, order.payment_intent) == ("paid", "cs_2", "pi_2")
    for session_id in (bought.session_id, "cs_2"):
        assert client.get(f"/orders/by-session/{session_id}").get_json()["status"] == "paid"


def test_second_payment_of_a_recovered_cart_is_left_to_a_person(desk: Any, bought: Any) -> None:
    again = bought.completed("again", id="cs_2", payment_intent="pi_2")
    desk.tell(bought.started(), bought.completed(), again, again)
    order = desk.order()
    assert (order.status, order.needs_review, order.review_reason) == ("paid", True, "duplicate-payment")
    assert {payment.id for payment in order.payments} == {bought.intent, "pi_2"}
    assert desk.types() == ["orders.order.paid", "orders.review.opened"]


def test_declined_attempt_leaves_the_order_open(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.intent_failed(), bought.intent_failed("twin"))
    order = desk.order()
    assert order.status == "open"
    assert [attempt.code for attempt in order.attempts] == ["do_not_honor"]
    assert desk.types() == []


def test_free_order_is_paid_without_a_payment_intent(desk: Any, bought: Any) -> None:
    desk.tell(bought.started(), bought.completed(payment_status="no_payment_required", payment_intent=None))
    order = desk.order()
    assert (order.status, [payment.id for payment in order.payments]) == ("paid", [bought.session_id])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_total": 5737}, "amount-mismatch"),
        ({"amount_total": 5739}, "amount-mismatch"),
        ({"currency": "usd"}, "currency-mismatch"),
        ({"livemode": True}, "livemode-mismatch"),
    ],
)
def test_payment_that_does_not_fit_is_kept_for_a_person(
    desk: Any, bought: Any, change: dict[str, Any], reason: str
) -> None:
    desk.tell(bought.started(), bought.completed(**change))
    order = desk.order()
    assert (order.status, order.needs_review, order.review_reason) == ("paid", True, reason)
    assert desk.types() == ["orders.review.opened"], "nothing is fulfilled before a person has decided"


def test_payment_to_a_connected_account_is_kept_for_a_person(desk: Any, bought: Any) -> None:
    event = bought.completed()
    desk.tell(bought.started(), type(event)(**{**vars(event), "headers": {**event.headers, "account": "acct_1"}}))
    assert desk.order().review_reason == "account-mismatch"


def test_tax_that_stripe_adds_fits(desk: Any, bought: Any) -> None:
    taxed = {"amount_total": 6738, "total_details": {"amount_tax": 1000}}
    desk.tell(bought.started(), bought.completed(**taxed))
    assert not desk.order().needs_review


def test_session_of_somebody_else_is_ignored(desk: Any, bought: Any) -> None:
    assert desk.tell(bought.stripe("checkout.session.completed", checkout_session(None))) == ["ignored"]


def test_success_page_sees_no_customer_data(desk: Any, bought: Any, client: FlaskClient) -> None:
    early = client.get(f"/orders/by-session/{bought.session_id}")
    assert (early.status_code, early.headers["Retry-After"]) == (404, "1")
    desk.tell(bought.started(), bought.completed())
    shown = client.get(f"/orders/by-session/{bought.session_id}", headers={"Origin": "https://shop.example"})
    assert shown.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    body = shown.get_json()
    assert (body["status"], body["amount_total"], body["amount_shipping"]) == ("paid", 5738, 490)
    assert b"zoe" not in shown.data


def test_operators_search_and_read(desk: Any, purchase: Any, client: FlaskClient) -> None:
    purchases = [purchase(f"chk_{number}") for number in range(3)]
    for one in purchases:
        desk.tell(one.started())
    desk.tell(purchases[0].completed())
    assert client.get("/orders").status_code == 401

    def found(query: str) -> list[str]:
        return [row["checkout_id"] for row in client.get(f"/orders?{query}", headers=OPERATOR).get_json()["items"]]

    assert found("") == ["chk_2", "chk_1", "chk_0"]
    assert found("status=paid") == found("email=ZOE@example.com") == found("session_id=cs_chk_0") == ["chk_0"]
    assert found("payment_intent=pi_chk_0") == ["chk_0"]
    first = client.get("/orders?limit=2", headers=OPERATOR).get_json()
    assert found(f"limit=2&cursor={first['next_cursor']}") == ["chk_0"]
    assert client.get("/orders?cursor=nonsense", headers=OPERATOR).status_code == 422
    detail = client.get(f"/orders/{first['items'][0]['id']}", headers=OPERATOR).get_json()
    assert [line["sku"] for line in detail["lines"]] == ["TEE-M", "SOCK"]
    assert detail["timeline"][0]["kind"] == "started"
    assert client.get("/orders/ord_unknown", headers=OPERATOR).status_code == 404


def test_models_and_migrations_agree(any_database: MakeDatabase) -> None:
    database = any_database(CHAINS)
    downgrade(database, CHAINS[-1])
    migrate(database, CHAINS)

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in Base.metadata.tables

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
