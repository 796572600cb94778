"""The effects of single facts on an order."""

from dataclasses import replace
from typing import Any

import pytest
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import checkout_session
from flask.testing import FlaskClient
from orders.app import create_app
from orders.chains import CHAINS
from orders.config import Config

from services.orders.tests.harness import FakeRefundGateway, OrdersService, Purchase, post


def test_pending_payment_is_published_with_the_customer(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.unpaid())
    order = service.order()
    assert (order.status, order.customer_email) == ("payment_pending", "zoe@example.com")
    assert service.published_types() == ["orders.payment.pending"]


@pytest.mark.parametrize("late", ["async_failed", "expired", "canceled"])
def test_late_failure_keeps_the_order_paid(service: OrdersService, purchase: Purchase, late: str) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.named(late))
    assert service.order().status == "paid"
    assert service.published_types() == ["orders.order.paid"]


def test_expired_order_has_the_recovery_link(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.expired())
    [event] = service.published()
    assert event.data["recovery_url"] == "https://buy.stripe.com/r/test_1"


@pytest.mark.parametrize(
    ("consent", "published"),
    [
        (None, None),
        ({"promotions": None, "terms_of_service": "accepted"}, None),
        ({"promotions": "opt_out", "terms_of_service": None}, "opt_out"),
        ({"promotions": "opt_in", "terms_of_service": None}, "opt_in"),
    ],
)
def test_expired_order_has_the_sessions_consent_to_promotions(
    service: OrdersService, purchase: Purchase, consent: Any, published: str | None
) -> None:
    service.deliver(purchase.started(), purchase.expired(consent=consent))
    [event] = service.published()
    assert event.data["promotions_consent"] == published


def test_recovered_cart_is_a_new_session_of_its_order(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    paid = {"id": "cs_2", "recovered_from": purchase.session_id, "payment_intent": "pi_2"}
    service.deliver(purchase.started(), purchase.expired(), purchase.completed(**paid))
    order = service.order()
    assert (order.status, order.session_id, order.payment_intent) == ("paid", "cs_2", "pi_2")
    for session_id in (purchase.session_id, "cs_2"):
        shown: Any = client.get(f"/orders/by-session/{session_id}").get_json()
        assert shown["status"] == "paid"


def test_second_payment_opens_a_review(service: OrdersService, purchase: Purchase) -> None:
    again = purchase.completed("again", id="cs_2", payment_intent="pi_2")
    service.deliver(purchase.started(), purchase.completed(), again, again)
    order = service.order()
    assert (order.status, order.needs_review, order.review_reason) == ("paid", True, "duplicate-payment")
    assert {payment.id for payment in order.payments} == {purchase.intent, "pi_2"}
    assert service.published_types() == ["orders.order.paid", "orders.review.opened"]


def test_declined_attempt_leaves_the_order_open(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.intent_failed(), purchase.intent_failed("twin"))
    order = service.order()
    assert order.status == "open"
    assert [attempt.code for attempt in order.attempts] == ["do_not_honor"]
    assert service.published_types() == []
    assert service.entry_texts()[-1] == "Payment attempt failed: Declined."


def test_free_order_is_paid_without_a_payment_intent(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(payment_status="no_payment_required", payment_intent=None))
    order = service.order()
    assert (order.status, [payment.id for payment in order.payments]) == ("paid", [purchase.session_id])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_total": 5737}, "amount-mismatch"),
        ({"amount_total": 5739}, "amount-mismatch"),
        ({"currency": "usd"}, "currency-mismatch"),
        ({"livemode": True}, "livemode-mismatch"),
    ],
)
def test_payment_that_does_not_match_opens_a_review(
    service: OrdersService, purchase: Purchase, change: dict[str, Any], reason: str
) -> None:
    service.deliver(purchase.started(), purchase.completed(**change))
    order = service.order()
    assert (order.status, order.needs_review, order.review_reason) == ("paid", True, reason)
    assert service.published_types() == ["orders.review.opened"], "nothing is fulfilled before an operator decides"


@pytest.mark.parametrize("currency", ["euros and cents, please", "", None, "e\u00e4r"])
def test_payment_in_no_currency_is_paid_and_reviewed(
    postgres_database: MakeDatabase, config: Config, gateway: FakeRefundGateway, purchase: Purchase, currency: Any
) -> None:
    database = postgres_database(CHAINS)  # SQLite does not limit a column's length
    service = OrdersService(database)
    presentment: dict[str, Any] = {
        "presentment_details": {"presentment_currency": "unreadable", "presentment_amount": 7}
    }
    events = (purchase.completed(currency=currency, **presentment), purchase.refund("re_0", 38, currency=currency))
    assert service.deliver(purchase.started(), *events) == ["done"] * 3
    order = service.order()
    assert (order.status, order.review_reason) == ("paid", "currency-mismatch")
    assert order.sums == [{"currency": "xxx", "amount_paid": 5738, "amount_refunded": 38}]
    assert str(currency).upper() in str(order.review_detail)
    client = create_app(config, database=database, gateway=gateway).test_client()
    lines = [{"sku": "SOCK", "quantity": 1}]
    assert post(client, service, "refunds", key="lines", lines=lines).status_code == 422
    assert service.deliver(purchase.dispute(currency=currency)) == ["done"]
    assert len(service.order().disputes) == 1
    assert post(client, service, "review", decision="accept").status_code == 200
    assert "orders.order.paid" in service.published_types()


def test_payment_to_a_connected_account_opens_a_review(service: OrdersService, purchase: Purchase) -> None:
    event = purchase.completed()
    service.deliver(purchase.started(), replace(event, headers={**event.headers, "account": "acct_1"}))
    assert service.order().review_reason == "account-mismatch"


def test_mismatches_of_two_kinds_show_the_worst_reason(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(amount_total=5700, livemode=True))
    order = service.order()
    assert order.review_reason == "amount-mismatch"
    assert order.review_detail == (
        "The customer paid 57.00 EUR instead of 57.38 EUR. The customer paid in live mode instead of test mode."
    )


def test_tax_added_by_stripe_matches(service: OrdersService, purchase: Purchase) -> None:
    taxed: dict[str, Any] = {"amount_total": 6738, "total_details": {"amount_tax": 1000}}
    service.deliver(purchase.started(), purchase.completed(**taxed))
    assert not service.order().needs_review


@pytest.mark.parametrize(("paid", "matches"), [(5738, True), (5238, True), (5237, False)])
def test_promotion_code_lowers_the_total_as_stripe_says(
    service: OrdersService, purchase: Purchase, paid: int, *, matches: bool
) -> None:
    service.deliver(purchase.started(promotion_codes=True))
    details = {"amount_discount": 5738 - max(paid, 5238), "amount_shipping": 490, "amount_tax": 0}
    service.deliver(purchase.completed(amount_total=paid, total_details=details))
    assert (service.order().needs_review, service.order().amount_paid) == (not matches, paid)


OFFERS = [
    {"id": "home", "name": "Home", "amount": 490, "countries": ["DE"]},
    {"id": "world", "name": "World", "amount": 1900, "countries": []},
]


@pytest.mark.parametrize(
    ("shipping", "paid", "country", "reason"),
    [
        (490, 5738, "DE", None),
        (1900, 7148, "US", None),
        (1900, 7148, None, None),
        (490, 5738, "US", "amount-mismatch"),  # Stripe's page offers every option to every customer
        (0, 5248, "DE", "amount-mismatch"),
        (1900, 5738, "US", "amount-mismatch"),
    ],
)
def test_customer_may_choose_any_offered_shipping_option(
    service: OrdersService, purchase: Purchase, shipping: int, paid: int, country: str | None, reason: str | None
) -> None:
    service.deliver(purchase.started(shipping_options=OFFERS))
    details = {"amount_discount": 0, "amount_shipping": shipping, "amount_tax": 0}
    address = {"shipping_details": {"name": "Zoe", "address": {"country": country}}} if country else None
    service.deliver(purchase.completed(amount_total=paid, total_details=details, collected_information=address))
    assert (service.order().review_reason, service.order().amount_paid) == (reason, paid)


def test_discount_without_promotion_codes_opens_a_review(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(amount_total=5238, total_details={"amount_discount": 500}))
    assert service.order().review_reason == "amount-mismatch"


def test_presented_currency_is_not_compared(service: OrdersService, purchase: Purchase) -> None:
    presented = {"presentment_amount": 6312, "presentment_currency": "usd"}
    service.deliver(purchase.started(), purchase.completed(presentment_details=presented))
    assert (service.order().needs_review, service.order().amount_paid) == (False, 5738)


def test_session_of_another_shop_is_ignored(service: OrdersService, purchase: Purchase) -> None:
    event = purchase.stripe("checkout.session.completed", checkout_session(None))
    assert service.deliver(event) == ["ignored"]
