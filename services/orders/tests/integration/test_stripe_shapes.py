"""Shapes that Stripe can send: appeals, partial sums, future statuses, past shapes, and money of other accounts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.messaging.contracts.reviews import ReviewReason
from events.testing.arrival import each_order
from events.testing.stripe import payment_intent, refund
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from orders.disputes import _withdrawn_and_withheld
from orders.handlers import handlers
from orders.models.unmatched_events import UnmatchedEvent
from orders.radar import ROUTING_KEYS
from orders.refunds.gateway import RefundRefusedError
from orders.refunds.lookups import RefundLookups
from orders.refunds.processor import RefundProcessor
from orders.reviews import resolve_by_policy
from sqlalchemy import select

from services.orders.tests.harness import FakeRefundGateway, OrdersService, Purchase, post, problem_of

DAY = 24 * 3600
ADDRESS = {"line1": "Alte Allee 1", "city": "Berlin", "postal_code": "10115", "country": "DE"}


def moved(*amounts: int, currency: str = "eur") -> list[dict[str, Any]]:
    """Return balance transactions of a dispute, a day apart."""
    return [
        {"id": f"txn_{number}", "amount": amount, "created": 1_793_700_000 + number * DAY, "currency": currency}
        for number, amount in enumerate(amounts)
    ]


def refund_all(client: FlaskClient, service: OrdersService, key: str = "all") -> Any:
    """Ask for a refund of all that is left, by the strict or the older body, and return the answer."""
    answer = post(client, service, "refunds", key=key, all=True)
    if answer.status_code == 422 and "all" in answer.get_json().get("errors", {}):
        answer = post(client, service, "refunds", key=key)
    return answer


def test_appeal_shows_its_deadline_and_can_be_won(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    def dispute(kind: str, status: str, days: int, **more: Any) -> Any:
        return purchase.dispute(kind, status, after=days * DAY, **more)

    lost = moved(-5738)
    service.deliver(
        purchase.started(),
        purchase.completed(),
        dispute("created", "needs_response", 1, balance_transactions=lost),
        dispute("closed", "lost", 20, balance_transactions=lost),
    )
    assert service.order().dispute_status == "lost"
    due = {"evidence_details": {"due_by": 1_796_000_000}}
    service.deliver(dispute("updated", "appeal_needs_response", 30, balance_transactions=lost, **due))
    [row] = client.get("/disputes", headers={"Authorization": "Bearer operator-token-of-ana"}).get_json()["items"]
    assert (row["status"], row["closed_at"]) == ("appeal_needs_response", None)
    assert row["evidence_due_by"].startswith("2026-11-30")
    assert service.order().dispute_status == "open"
    service.deliver(dispute("updated", "appeal_under_review", 31, balance_transactions=lost, **due))
    won = moved(-5738, 5738)
    service.deliver(dispute("closed", "won", 60, balance_transactions=won, **due))
    order = service.order()
    assert (order.dispute_status, order.disputes[0].amount_held) == ("won", 0)
    closed = [data["dispute_status"] for data in service.data_of("orders.dispute.closed")]
    assert closed == ["lost", "won"], "staff hear both decisions"


def test_every_order_of_an_appeal_ends_alike(service: OrdersService) -> None:
    steps = [
        ("created", "needs_response", (-5738,)),
        ("closed", "lost", (-5738, 1000)),
        ("updated", "appeal_needs_response", (-5738, 1000)),
        ("updated", "appeal_under_review", (-5738, 1000)),
        ("closed", "won", (-5738, 1000, 4738)),
    ]
    purchase = Purchase("chk_1")
    service.deliver(purchase.started(), purchase.completed())

    def deliver_twice(_before: Sequence[int], step: int) -> None:
        kind, status, sums = steps[step]
        for again in ("", "twin"):
            more: dict[str, Any] = {"balance_transactions": moved(*sums), "after": step * DAY, "again": again}
            service.deliver(purchase.dispute(kind, status, **more))

    for order in each_order(service.database, permutations(range(len(steps))), deliver_twice):
        ended = service.order(purchase.checkout_id)
        [dispute] = ended.disputes
        assert (ended.dispute_status, dispute.status, dispute.amount_held) == ("won", "won", 0), order
        assert dispute.closed_at is not None, order
        assert service.published_types(purchase.checkout_id)[-1].startswith("orders.dispute."), order


def test_partly_won_dispute_frees_only_what_came_back(
    service: OrdersService, purchase: Purchase, client: FlaskClient, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.refund("re_dashboard", 1000))
    service.deliver(
        purchase.dispute(amount=4738, balance_transactions=moved(-4738)),
        purchase.dispute("closed", "lost", after=DAY, amount=4738, balance_transactions=moved(-4738, 1000)),
    )
    [dispute] = service.order().disputes
    assert (dispute.amount_withdrawn, dispute.amount_reinstated, dispute.amount_held) == (4738, 1000, 3738)
    assert "got 10.00 EUR back" in service.entry_texts()[-1]
    refund_all(client, service)
    assert [made["amount"] for made in gateway.refunds.values()] == [1000]


def test_sums_in_the_currency_of_the_payout_count_by_ratio(service: OrdersService, purchase: Purchase) -> None:
    moves = moved(-6200, 1550, currency="usd")  # a quarter came back
    service.deliver(purchase.started(), purchase.completed())
    service.deliver(purchase.dispute("closed", "lost", balance_transactions=moves))
    [dispute] = service.order().disputes
    assert (dispute.amount_held, dispute.amount_reinstated) == (4304, 1434)


@pytest.mark.parametrize(("currency", "unit"), [("isk", 100), ("kwd", 10), ("eur", 1)])
def test_rest_after_a_dispute_is_a_refund_that_stripe_accepts(
    service: OrdersService,
    purchase: Purchase,
    client: FlaskClient,
    gateway: FakeRefundGateway,
    currency: str,
    unit: int,
) -> None:
    moves = moved(-6200, 2067, currency="usd")  # the shop's payouts are in dollars: a third came back
    total: dict[str, Any] = {"amount_total": 57400, "currency": currency}
    service.deliver(
        purchase.started(currency=currency, amount_subtotal=52500, amount_shipping=4900, amount_total=57400)
    )
    service.deliver(purchase.completed(**total))
    service.deliver(purchase.dispute("closed", "lost", amount=57400, currency=currency, balance_transactions=moves))
    assert 57400 - (service.order().disputes[0].amount_held or 0) == 19136
    assert refund_all(client, service).status_code == 201
    assert [made["amount"] for made in gateway.refunds.values()] == [19136 - 19136 % unit]


@given(
    st.integers(1, 10**9),
    st.lists(st.integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=8).filter(lambda found: found[0] < 0),
)
def test_bank_never_holds_more_than_is_disputed(amount: int, amounts: list[int]) -> None:
    withdrawn, withheld = _withdrawn_and_withheld(amount, moved(*amounts))
    assert 0 <= withheld <= amount
    assert withheld <= withdrawn
    if sum(amounts) >= 0:
        assert withheld == 0


def test_lost_dispute_without_sums_frees_nothing(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.dispute("closed", "lost"))
    assert problem_of(refund_all(client, service)) == (422, "refund-exceeds-payment")


@pytest.mark.parametrize("status", [None, "", "in_transit", "a_status_with_a_very_long_name_that_stripe_adds_later"])
def test_unknown_refund_status_is_kept_and_counts_as_under_way(
    service: OrdersService, purchase: Purchase, client: FlaskClient, gateway: FakeRefundGateway, status: Any
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    gateway.status = status
    answer = refund_all(client, service)
    assert (answer.status_code, answer.get_json()["status"]) == (201, status or "unknown")
    assert problem_of(refund_all(client, service, key="again")) == (422, "refund-exceeds-payment")
    assert service.order().amount_refunded == 0
    succeeded = gateway.last_refund | {"status": "succeeded"}
    service.deliver(purchase.stripe("refund.updated", succeeded, "succeeded"))
    assert service.order().amount_refunded == 5738


def test_refund_that_waits_for_the_customer_again_is_not_dropped(service: OrdersService, purchase: Purchase) -> None:
    steps = [("pending", 0), ("requires_action", DAY), ("pending", 2 * DAY), ("requires_action", 3 * DAY)]
    for number, order in enumerate(permutations(steps)):
        one = Purchase(f"chk_{number}_refund")
        service.deliver(one.started(), one.completed())
        for status, after in order:
            service.deliver(one.refund(f"re_{number}", 1000, status, kind="updated", after=after, again=str(after)))
        [found] = service.order(one.checkout_id).refunds
        assert found.status == "requires_action", order


def test_refused_refund_of_a_review_is_shown_and_published(
    service: OrdersService, purchase: Purchase, client: FlaskClient, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.completed(livemode=True))
    gateway.errors = [RefundRefusedError("No such payment_intent")]
    answer = post(client, service, "review", decision="refund")
    assert problem_of(answer) == (409, "refund-refused")
    assert "No such payment_intent" in answer.get_json()["detail"]
    (published,) = service.data_of("orders.refund.failed")
    assert published["failure_reason"] == "No such payment_intent"
    assert published["refund_request_id"] == published["refund_id"] == answer.get_json()["refund_request_id"]
    assert any("Stripe refused" in text for text in service.entry_texts())


def test_second_attempt_under_way_is_not_a_failed_payment(service: OrdersService) -> None:
    for number, order in enumerate(permutations(["unpaid A", "failed A", "unpaid B"])):
        one = Purchase(f"chk_{number}")
        second = {"id": f"cs_b_{number}", "payment_intent": f"pi_b_{number}", "recovered_from": one.session_id}
        events = {
            "unpaid A": one.unpaid(),
            "failed A": one.async_failed(),
            "unpaid B": one.session("completed", "b", payment_status="unpaid", **second),
        }
        service.deliver(one.started(), *(events[name] for name in order))
        assert service.order(one.checkout_id).status == "payment_pending", order
        service.deliver(one.session("async_payment_failed", "b", payment_status="unpaid", **second))
        assert service.order(one.checkout_id).status == "payment_failed", order
        assert service.published_types(one.checkout_id)[-1] == "orders.payment.failed", order


def test_unknown_payment_status_fulfills_nothing(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(payment_status="partially_paid"))
    assert service.order().status == "payment_pending"
    assert "orders.order.paid" not in service.published_types()


def test_policy_refunds_only_if_every_reason_is_named(
    service: OrdersService, purchase: Purchase, database: Database, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.oversold(), purchase.completed(amount_total=5700))
    for reasons in (["amount-mismatch"], ["oversold"]):
        resolve_by_policy(database, reasons)
        assert service.order().needs_review
    resolve_by_policy(database, ["amount-mismatch", "oversold"])
    RefundProcessor(database, gateway).resume_due()
    assert service.order().refund_status == "full"


def test_intent_of_a_connected_account_is_not_counted(service: OrdersService, purchase: Purchase) -> None:
    foreign = purchase.stripe("payment_intent.succeeded", payment_intent(purchase.checkout_id, id="pi_other"))
    service.deliver(purchase.started())
    assert service.deliver(replace(foreign, headers={**foreign.headers, "account": "acct_1"})) == ["ignored"]
    assert (service.order().amount_paid, service.order().payments) == (0, [])


def test_sums_of_two_currencies_are_not_mixed(
    service: OrdersService, purchase: Purchase, client: FlaskClient, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.completed(currency="jpy"))
    body = post(client, service, "review", decision="accept").get_json()
    assert body["sums"] == [{"currency": "jpy", "amount_paid": 5738, "amount_refunded": 0}]
    assert body["amount_paid"] == 0
    post(client, service, "refunds", key="part", amount=1000)
    [published] = service.data_of("orders.refund.succeeded")
    assert (published["refund_amount"], published["refund_currency"]) == (1000, "jpy")
    assert "1,000 JPY was refunded" in service.entry_texts()[-1].replace("1000", "1,000")


def test_attempt_without_a_charge_is_counted_once(service: OrdersService, purchase: Purchase) -> None:
    error = {"code": "payment_intent_authentication_failure", "message": "Not authenticated."}
    failed = payment_intent(purchase.checkout_id, id=purchase.intent, last_payment_error=error)
    twins = [purchase.stripe("payment_intent.payment_failed", failed, again) for again in ("", "twin")]
    service.deliver(purchase.started(), *twins)
    assert [attempt.code for attempt in service.order().attempts] == ["payment_intent_authentication_failure"]


@pytest.mark.parametrize("decision", ["accept", "refund", "cancel"])
def test_radar_review_holds_the_order_until_a_decision(
    service: OrdersService, purchase: Purchase, client: FlaskClient, decision: str
) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.radar_review(), purchase.radar_review("opened"))
    assert (service.order().needs_review, service.order().review_reason) == (True, "radar-review")
    assert problem_of(post(client, service, "shipments", all=True))[0] in (409, 422)
    assert post(client, service, "review", decision=decision).status_code == 200
    assert not service.order().needs_review


def test_approval_at_stripe_releases_in_any_order(service: OrdersService) -> None:
    for number, order in enumerate(permutations(["completed", "opened", "closed"])):
        one = Purchase(f"chk_{number}")
        events = {
            "completed": one.completed(),
            "opened": one.radar_review(),
            "closed": one.radar_review("closed", closed_reason="approved"),
        }
        service.deliver(one.started(), *(events[name] for name in order))
        service.retry_waiting()
        ended = service.order(one.checkout_id)
        assert (ended.status, ended.needs_review, ended.paid_published_at is not None) == ("paid", False, True), order
    assert service.unfinished() == []


def test_review_closed_as_fraud_keeps_the_hold(service: OrdersService, purchase: Purchase) -> None:
    closed = purchase.radar_review("closed", closed_reason="refunded_as_fraud")
    service.deliver(purchase.started(), purchase.completed(), closed, purchase.radar_review())
    assert service.order().review_reason == "radar-review"


@pytest.mark.parametrize("decision", [None, "accept", "refund"])
def test_closed_radar_review_holds_only_while_undecided(
    service: OrdersService, purchase: Purchase, client: FlaskClient, decision: str | None
) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.radar_review())
    if decision:
        assert post(client, service, "review", decision=decision).status_code == 200
    service.deliver(purchase.radar_review("closed", closed_reason="refunded"))
    held = " The order is held until an operator decides."
    assert service.order().needs_review is (decision is None)
    assert f"Stripe's review prv_chk_1 is closed: refunded.{'' if decision else held}" in service.entry_texts()


def test_closed_radar_review_does_not_hold_a_canceled_order(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    assert post(client, service, "cancel", refund=False).status_code == 200
    service.deliver(purchase.radar_review("closed", closed_reason="refunded"))
    assert "Stripe's review prv_chk_1 is closed: refunded." in service.entry_texts()


def test_fraud_warning_holds_unless_nothing_is_to_do(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(), purchase.completed(), purchase.fraud_warning(actionable=False))
    assert not service.order().needs_review
    service.deliver(purchase.fraud_warning("again"))
    assert service.order().review_reason == "early-fraud-warning"


def test_review_before_its_payment_is_parked_redacted(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.radar_review())
    with service.database.read() as session:
        [parked] = session.scalars(select(UnmatchedEvent))
    assert b"192.0.2.1" not in parked.body
    service.deliver(purchase.started(), purchase.completed())
    service.retry_waiting()
    assert service.order().review_reason == "radar-review"


def test_holds_can_be_switched_off(purchase: Purchase) -> None:
    assert not handlers.without(*ROUTING_KEYS).has_handler(purchase.radar_review())
    assert handlers.has_handler(purchase.radar_review())


SHAPES: list[dict[str, Any]] = [
    {"collected_information": {"shipping_details": {"name": "Zoë", "address": ADDRESS}}},
    {"shipping_details": {"name": "Zoë", "address": ADDRESS}},
    {"shipping": {"name": "Zoë", "address": ADDRESS}},
    {"collected_information": {"shipping_details": None}, "shipping_details": {"name": "Zoë", "address": ADDRESS}},
    {"collected_information": {"shipping_details": None}, "shipping": {"name": "Zoë", "address": ADDRESS}},
    {"shipping_details": {"name": None, "address": None}, "shipping": {"name": "Zoë", "address": ADDRESS}},
]


@pytest.mark.parametrize("shape", SHAPES)
def test_address_is_read_in_every_shape(service: OrdersService, purchase: Purchase, shape: dict[str, Any]) -> None:
    service.deliver(purchase.started(needs_shipping=True), purchase.completed(**shape))
    order = service.order()
    assert (order.shipping_address, order.needs_review) == (ADDRESS, False)


def test_order_without_an_address_is_reviewed_until_it_comes(service: OrdersService, purchase: Purchase) -> None:
    service.deliver(purchase.started(needs_shipping=True), purchase.completed())
    assert (service.order().review_reason, service.published_types()) == ("missing-address", ["orders.review.opened"])
    service.deliver(purchase.completed("again", **SHAPES[0]))
    assert (service.order().needs_review, service.order().shipping_address) == (False, ADDRESS)
    assert service.published_types()[-2:] == ["orders.review.resolved", "orders.order.paid"]


def test_goods_go_where_the_paying_session_says(service: OrdersService, purchase: Purchase) -> None:
    old = {**ADDRESS, "line1": "Old street 1"}
    service.deliver(
        purchase.started(needs_shipping=True),
        purchase.session("completed", "unpaid", payment_status="unpaid", shipping={"name": "Z", "address": old}),
        purchase.async_failed(),
        purchase.completed("b", id="cs_b", payment_intent="pi_b", shipping={"name": "Z", "address": ADDRESS}),
    )
    assert service.order().shipping_address == ADDRESS


def test_refunds_inside_of_an_old_charge_are_booked(service: OrdersService, purchase: Purchase) -> None:
    listed = {"data": [refund(id="re_old", amount=700, payment_intent=None)]}
    service.deliver(purchase.started(), purchase.completed())
    service.deliver(purchase.charge_refunded(amount_refunded=700, refunds=listed))
    assert [(one.id, one.amount) for one in service.order().refunds] == [("re_old", 700)]


def test_refunds_that_a_charge_only_counts_are_fetched(
    service: OrdersService, purchase: Purchase, database: Database, gateway: FakeRefundGateway
) -> None:
    service.deliver(purchase.started(), purchase.completed())
    service.deliver(purchase.charge_refunded(amount_refunded=700))
    gateway.refunds["dashboard"] = refund(id="re_between", amount=700, payment_intent=purchase.intent)
    lookups = RefundLookups(database, gateway)
    assert lookups.run_due() == 0, "newer versions send an event for the refund"
    assert lookups.run_due(utcnow() + timedelta(minutes=1)) == 1
    assert (service.order().amount_refunded, lookups.run_due(utcnow() + timedelta(days=1))) == (700, 0)


def test_every_review_reason_has_a_place_in_the_order() -> None:
    assert list(ReviewReason)[-3:] == ["missing-address", "radar-review", "early-fraud-warning"]


@pytest.mark.parametrize("held_by", ["radar_review", "fraud_warning"])
def test_page_of_a_suspected_fraud_shows_no_review(
    service: OrdersService, purchase: Purchase, client: FlaskClient, held_by: str
) -> None:
    def page() -> tuple[Any, ...]:
        shown = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
        return tuple(shown[name] for name in ("status", "confirmed", "needs_review", "review_decision"))

    service.deliver(purchase.started(), purchase.intent_succeeded(), getattr(purchase, held_by)())
    service.deliver(purchase.completed())
    assert (service.order().needs_review, page()) == (True, ("paid", False, False, None))
    post(client, service, "review", decision="accept")
    assert page() == ("paid", True, False, None)


OMITTED: dict[str, Any] = {"total_details": None, "shipping_cost": None, "payment_method_types": None}


def test_detail_that_an_old_shape_omits_stays_known(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    """A delayed payment is reported by two API versions, of which the second one has fewer details."""
    taxed = {"amount_tax": 1090, "amount_discount": 0, "amount_shipping": 490}
    first: dict[str, Any] = {"amount_total": 6828, "total_details": taxed, "payment_method_types": ["sepa_debit"]}
    unpaid = purchase.session("completed", payment_status="unpaid", shipping_cost={"amount_total": 583}, **first)
    paid = purchase.session("async_payment_succeeded", **first | OMITTED)
    service.deliver(purchase.started(), unpaid, paid)
    order = service.order()
    page = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert {name: page[name] for name in taxed} == taxed
    assert (order.status, order.review_reason, page["payment_method_types"]) == ("paid", None, ["sepa_debit"])
    assert order.payments[0].shipping_total == 583


def test_detail_that_was_never_reported_is_the_agreed_one(
    service: OrdersService, purchase: Purchase, client: FlaskClient
) -> None:
    service.deliver(purchase.started(), purchase.completed(amount_subtotal=None, **OMITTED))
    page = client.get(f"/orders/by-session/{purchase.session_id}").get_json()
    assert (page["amount_subtotal"], page["amount_shipping"], page["amount_total"]) == (5248, 490, 5738)
