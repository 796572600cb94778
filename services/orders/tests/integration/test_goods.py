"""Goods against money: what ships, what is owed and what is in stock, after refunds, parcels and cancellations."""

import json
import random
import re
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from events.clock import utcnow
from events.testing.arrival import each_order
from flask.testing import FlaskClient
from orders.refunds.gateway import StripeAwayError
from orders.refunds.processor import RefundProcessor
from orders.refunds.requests import SENDING_LEASE

from services.orders.tests.harness import (
    AMOUNTS,
    LINES,
    OPERATOR,
    FakeRefundGateway,
    OrdersService,
    Purchase,
    post,
    problem_of,
)

TEE, SOCK = {"sku": "TEE-M", "quantity": 1}, {"sku": "SOCK", "quantity": 1}


class Shop:
    """A paid order of two tees and a pair of socks, its operators and Stripe."""

    def __init__(
        self, service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase
    ) -> None:
        self.service, self.client, self.gateway, self.purchase = service, client, gateway, purchase
        self._keys = iter(range(1000))

    def do(self, action: str, **body: Any) -> Any:
        """Send an operator's request with a new key and return the response."""
        return post(self.client, self.service, action, f"key-{next(self._keys)}", **body)

    def fail_last_refund(self) -> None:
        """Deliver the event that the last refund failed."""
        refund = self.gateway.last_refund | {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self.service.deliver(self.purchase.stripe("refund.failed", refund, f"{refund['id']}-failed"))

    def shown(self) -> Any:
        """Return the order as operators see it."""
        return self.client.get(f"/orders/{self.service.order().id}", headers=OPERATOR).get_json()

    def goods(self) -> dict[str, tuple[int, int, int]]:
        """Return for each sku the pieces that shipped, that were refunded before they shipped, and that are owed."""
        shown = self.shown()["goods"]
        assert all(one["shipped"] + one["refunded_unshipped"] + one["owed"] == one["bought"] for one in shown)
        return {one["sku"]: (one["shipped"], one["refunded_unshipped"], one["owed"]) for one in shown}

    def listed(self, *, to_ship: bool = True) -> list[str]:
        """Return the checkouts of the orders in the pick list, or of those that are not in it."""
        page = self.client.get(f"/orders?to_ship={str(to_ship).lower()}", headers=OPERATOR).get_json()
        return [row["checkout_id"] for row in page["items"]]

    def shelf(self) -> dict[str, int]:
        """Return the pieces that the inventory was asked to add to the stock, by sku."""
        pieces: dict[str, int] = {}
        for event in self.service.published():
            if event.type in ("orders.stock.returned", "orders.stock.taken"):
                sign = 1 if event.type == "orders.stock.returned" else -1
                for line in event.data["lines"]:
                    pieces[line["sku"]] = pieces.get(line["sku"], 0) + sign * line["quantity"]
        return {sku: quantity for sku, quantity in pieces.items() if quantity}


@pytest.fixture
def shop(service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase) -> Shop:
    service.deliver(purchase.started(), purchase.completed())
    return Shop(service, client, gateway, purchase)


@pytest.mark.parametrize("body", [{}, {"lines": []}, {"lines": None}, {"all": False}, {"all": None}, {"all": 1}])
@pytest.mark.parametrize("action", ["refunds", "shipments"])
def test_nothing_means_all_by_omission(shop: Shop, action: str, body: dict[str, Any]) -> None:
    path = f"/orders/{shop.service.order().id}/{action}"
    answer = shop.client.post(path, json=body, headers=OPERATOR | {"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert (shop.service.order().shipments, shop.gateway.refunds) == ([], {})


def test_pending_refund_of_all_holds_the_parcel_until_it_fails(shop: Shop) -> None:
    shop.gateway.status = "pending"
    assert shop.do("refunds", all=True).get_json()["status"] == "pending"
    assert problem_of(shop.do("shipments", all=True)) == (409, "order-refunded")
    assert (shop.goods()["TEE-M"], shop.shown()["hold"], shop.listed()) == ((0, 2, 0), "nothing-owed", [])
    shop.fail_last_refund()
    assert (shop.goods()["TEE-M"], shop.shown()["hold"], shop.listed()) == ((0, 0, 2), None, ["chk_1"])
    assert shop.do("shipments", all=True).status_code == 201


def test_unanswered_refund_of_the_whole_amount_holds_the_parcel(shop: Shop) -> None:
    shop.gateway.errors = [StripeAwayError("timed out")]
    assert shop.do("refunds", amount=AMOUNTS["amount_total"]).status_code == 202
    assert problem_of(shop.do("shipments", all=True)) == (409, "order-refunded")
    assert RefundProcessor(shop.service.database, shop.gateway).resume_due(utcnow() + 100 * SENDING_LEASE) == 1
    assert shop.goods() == {"TEE-M": (0, 2, 0), "SOCK": (0, 1, 0)}


def test_failed_refund_of_all_lets_the_order_be_confirmed(service: OrdersService, purchase: Purchase) -> None:
    made = {"payment_intent": purchase.intent}
    service.deliver(purchase.started(), purchase.intent_succeeded())
    service.deliver(purchase.refund("re_1", AMOUNTS["amount_total"], status="pending", **made), purchase.completed())
    assert service.published_types() == ["orders.goods.changed"]
    service.deliver(purchase.refund("re_1", AMOUNTS["amount_total"], status="failed", kind="failed", **made))
    assert service.published_types()[1:] == ["orders.goods.changed", "orders.refund.failed", "orders.order.paid"]


def test_damaged_piece_without_restock_does_not_ship(shop: Shop) -> None:
    assert shop.do("refunds", lines=[SOCK]).get_json()["lines"] == [SOCK | {"restock": False, "unshipped": 1}]
    assert shop.do("shipments", all=True).get_json()["lines"] == [{"sku": "TEE-M", "quantity": 2}]
    assert (shop.shown()["fulfillment_status"], shop.shelf()) == ("fulfilled", {})
    assert shop.service.data_of("orders.order.shipped")[0]["is_complete"] is True


def test_other_piece_is_owed_when_a_shipped_one_comes_back(shop: Shop) -> None:
    shop.do("shipments", lines=[TEE])
    assert shop.service.data_of("orders.order.shipped")[0]["remaining"] == [TEE, SOCK]
    assert shop.do("refunds", lines=[TEE], restock=True).get_json()["lines"][0]["unshipped"] == 0
    assert (shop.goods(), shop.shelf()) == ({"TEE-M": (1, 0, 1), "SOCK": (0, 0, 1)}, {"TEE-M": 1})
    assert shop.do("shipments", all=True).get_json()["lines"] == [TEE, SOCK]
    assert shop.service.data_of("orders.order.shipped")[-1]["remaining"] == []


def test_operator_can_say_that_the_unshipped_piece_is_refunded(shop: Shop) -> None:
    shop.do("shipments", lines=[TEE])
    shop.do("refunds", lines=[TEE | {"unshipped": 1}], restock=True)
    assert (shop.goods()["TEE-M"], shop.do("shipments", all=True).get_json()["lines"]) == ((1, 1, 0), [SOCK])


@pytest.mark.parametrize("shipped", [False, True])
def test_piece_is_restocked_once_however_many_refunds_it_takes(shop: Shop, *, shipped: bool) -> None:
    if shipped:
        shop.do("shipments", all=True)
    shop.gateway.status = "pending"
    shop.do("refunds", lines=[TEE], restock=True)
    shop.fail_last_refund()
    assert shop.shelf() == ({"TEE-M": 1} if shipped else {}), "an unshipped piece is owed again"
    shop.do("refunds", lines=[TEE], restock=True)
    assert shop.shelf() == {"TEE-M": 1}


def test_failing_restocked_refund_ends_alike_in_any_order(shop: Shop) -> None:
    """Of two tees, one's refund has an unknown status and fails, and the other one's is pending and succeeds."""
    shop.gateway.status = "pending"
    made = [shop.do("refunds", lines=[TEE], restock=True).get_json()["refund_id"] for _ in range(2)]
    failing, good = (next(one for one in shop.gateway.refunds.values() if one["id"] == each) for each in made)
    facts = {
        "unknown": ("created", failing | {"status": "in_transit"}),
        "fails": ("failed", failing | {"status": "failed"}),
        "pending": ("created", good | {"status": "pending"}),
        "succeeds": ("updated", good | {"status": "succeeded"}),
    }

    def deliver_twice(_before: Sequence[str], name: str) -> None:
        kind, refund = facts[name]
        for again in ("", "twin"):
            shop.service.deliver(shop.purchase.stripe(f"refund.{kind}", refund, f"{name}{again}"))

    orders = random.Random(3).sample(list(permutations(facts)), 12)  # noqa: S311 - the same in every run
    for order in each_order(shop.service.database, orders, deliver_twice):
        assert sorted(refund.status for refund in shop.service.order().refunds) == ["failed", "succeeded"], order
        assert (shop.goods()["TEE-M"], shop.shelf()) == ((0, 1, 1), {"TEE-M": 1}), order
        assert shop.service.published_types().count("orders.refund.failed") == 1, order
        assert shop.service.unfinished() == [], order


def test_lines_belong_to_the_payment_that_paid_the_order(shop: Shop) -> None:
    shop.service.deliver(shop.purchase.completed("again", id="cs_2", payment_intent="pi_2"))
    answers = [
        shop.do("refunds", payment_id="pi_2", all=True, restock=True),
        shop.do("refunds", payment_id="pi_2", lines=[TEE]),
    ]
    assert [list(answer.get_json()["errors"]) for answer in answers] == [["restock"], ["lines"]]
    assert shop.do("refunds", payment_id="pi_2", all=True).get_json()["lines"] == []
    shop.do("review", decision="accept")
    assert (shop.goods(), shop.shelf()) == ({"TEE-M": (0, 0, 2), "SOCK": (0, 0, 1)}, {})
    assert shop.do("refunds", lines=[TEE]).get_json()["amount"] == 1999
    assert shop.do("shipments", all=True).status_code == 201


def test_line_refund_has_the_taxes_of_the_goods_only(
    service: OrdersService, client: FlaskClient, purchase: Purchase
) -> None:
    amounts: dict[str, Any] = {
        "amount_subtotal": 1000,
        "amount_discount": 0,
        "amount_shipping": 500,
        "amount_total": 1500,
    }
    line = {"sku": "TEE-M", "name": "Tee", "quantity": 1, "unit_amount": 1000, "amount_total": 1000}
    session: dict[str, Any] = {
        "amount_subtotal": 1000,
        "amount_total": 1785,
        "total_details": {"amount_discount": 0, "amount_shipping": 500, "amount_tax": 285},
        "shipping_cost": {"amount_subtotal": 500, "amount_tax": 95, "amount_total": 595},
    }
    service.deliver(purchase.started(**amounts, lines=[line]), purchase.completed(**session))
    assert post(client, service, "refunds", "k", lines=[TEE]).get_json()["amount"] == 1190


def taxed_purchase(purchase: Purchase, gateway: FakeRefundGateway) -> list[Any]:
    """Return the events of a purchase where the tees have 19 % tax and the socks 7 %, and Stripe's line items."""
    taxed = [("SOCK", 1250, 88), ("TEE-M", 3998, 760)]
    gateway.lines_by_session[purchase.session_id] = [
        {"amount_total": amount + tax, "price": {"product": {"metadata": {"sku": sku}}}} for sku, amount, tax in taxed
    ]
    session: dict[str, Any] = {
        "amount_subtotal": 5248,
        "amount_total": 5738 + 848,
        "total_details": {"amount_discount": 0, "amount_shipping": 490, "amount_tax": 848},
        "shipping_cost": {"amount_subtotal": 490, "amount_tax": 0, "amount_total": 490},
    }
    return [purchase.started(lines=LINES), purchase.completed(**session)]


def test_lines_with_different_tax_rates_are_refunded_as_charged(
    service: OrdersService, client: FlaskClient, purchase: Purchase, gateway: FakeRefundGateway
) -> None:
    service.deliver(*taxed_purchase(purchase, gateway))
    gateway.line_errors = [StripeAwayError("timed out")]
    assert problem_of(post(client, service, "refunds", "k0", lines=[SOCK])) == (503, "stripe-unavailable")
    assert gateway.refunds == {}
    assert post(client, service, "refunds", "k1", lines=[SOCK]).get_json()["amount"] == 1250 + 88
    assert post(client, service, "refunds", "k2", lines=[TEE]).get_json()["amount"] == (3998 + 760) // 2


def test_pieces_that_do_not_ship_are_published_as_totals(shop: Shop) -> None:
    """One is refunded without restock, one by a refund that fails, and the rest is canceled after a parcel."""
    shop.do("shipments", lines=[SOCK])
    shop.do("refunds", lines=[TEE])
    shop.gateway.status = "pending"
    shop.do("refunds", all=True, restock=True)
    shop.fail_last_refund()
    changes = shop.service.data_of("orders.goods.changed")
    assert [change["revision"] for change in changes] == [1, 2, 3]
    assert [change["canceled"] for change in changes] == [[TEE], [TEE | {"quantity": 2}], [TEE]]


WAYS = ("lines", "all", "cancel", "review", "without_money")


@pytest.fixture
def short(service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase) -> Shop:
    """Return an order of two tees, of which one was missing when it was paid."""
    service.deliver(purchase.started(), purchase.completed(), purchase.oversold())
    return Shop(service, client, gateway, purchase)


@pytest.mark.parametrize("way", WAYS)
def test_missing_piece_never_returns_to_the_stock(short: Shop, way: str) -> None:
    if way != "review":
        short.do("review", decision="accept")
    lines = [TEE | {"quantity": 2}, SOCK]
    answer = {
        "lines": lambda: short.do("refunds", lines=lines, restock=True),
        "all": lambda: short.do("refunds", all=True, restock=True),
        "cancel": lambda: short.do("cancel", refund=True),
        "review": lambda: short.do("review", decision="refund"),
        "without_money": lambda: short.do("refunds", lines=lines, restock=True, without_money=True),
    }[way]()
    assert answer.status_code in (200, 201)
    assert (short.shelf(), short.goods()["TEE-M"]) == ({"TEE-M": 1, "SOCK": 1}, (0, 2, 0))


def test_piece_that_is_there_goes_to_the_owed_one_first(short: Shop) -> None:
    """The missing piece counts as the first that is refunded, with restock or without."""
    short.do("review", decision="accept")
    short.do("refunds", lines=[TEE], restock=True)
    assert (short.shelf(), short.goods()["TEE-M"]) == ({}, (0, 1, 1))
    short.gateway.status = "pending"
    short.do("refunds", lines=[TEE], restock=True)
    assert short.shelf() == {"TEE-M": 1}
    short.fail_last_refund()
    assert (short.shelf(), short.goods()["TEE-M"]) == ({}, (0, 1, 1))
    assert short.do("shipments", lines=[TEE]).status_code == 201
    assert short.do("refunds", lines=[TEE], restock=True).status_code == 201, "it comes back from the customer"
    assert short.shelf() == {"TEE-M": 1}


def test_shortage_known_after_the_return_takes_nothing(shop: Shop) -> None:
    """Inventory counted nothing for the missing piece, so nothing has to leave when its refund fails."""
    shop.gateway.status = "pending"
    shop.do("refunds", lines=[TEE | {"quantity": 2}], restock=True)
    assert shop.shelf() == {"TEE-M": 2}
    shop.service.deliver(shop.purchase.oversold(missing=2))
    shop.fail_last_refund()
    assert shop.service.data_of("orders.stock.taken") == []


def test_second_shortage_opens_another_review(short: Shop) -> None:
    """The piece that was there is refunded, sold again, and owed again because the refund fails."""
    short.do("review", decision="accept")
    short.gateway.status = "pending"
    refund = short.do("refunds", lines=[TEE | {"quantity": 2}], restock=True).get_json()
    short.fail_last_refund()
    assert (short.shelf(), short.shown()["needs_review"]) == ({}, False)
    return_id = f"{refund['id']}-taken"
    short.service.deliver(short.purchase.oversold("again", return_id=return_id))
    assert (short.shown()["needs_review"], short.shown()["hold"]) == (True, "review")
    opened = short.service.data_of("orders.review.opened")
    assert [(data["reason"], data["subject"]) for data in opened] == [("oversold", None), ("oversold", return_id)]
    short.do("review", decision="cancel")
    assert short.service.data_of("orders.review.resolved")[-1]["subject"] == return_id
    assert short.service.returned_lines()[1:] == [[SOCK]], "both tees are gone"


def test_canceled_order_returns_money_and_pieces_once(shop: Shop) -> None:
    body = {"refund": True, "note": "changed their mind"}
    answer = post(shop.client, shop.service, "cancel", "k", **body)
    assert (answer.status_code, answer.get_json()["fulfillment_status"]) == (200, "canceled")
    assert post(shop.client, shop.service, "cancel", "k", **body).status_code == 200
    assert problem_of(post(shop.client, shop.service, "cancel", "k", refund=False)) == (409, "idempotency-key-reused")
    assert problem_of(shop.do("cancel", **body)) == (409, "order-canceled")
    assert [(refund.amount, refund.status) for refund in shop.service.order().refunds] == [(5738, "succeeded")]
    assert (shop.shelf(), shop.goods()["TEE-M"]) == ({"TEE-M": 2, "SOCK": 1}, (0, 2, 0))
    assert [data["reason"] for data in shop.service.data_of("orders.order.canceled")] == ["operator"]
    assert problem_of(shop.do("shipments", all=True)) == (409, "order-canceled")
    assert (shop.listed(), shop.listed(to_ship=False)) == ([], ["chk_1"])


def test_failed_refund_leaves_canceled_pieces_on_the_shelf(shop: Shop) -> None:
    shop.gateway.status = "pending"
    shop.do("cancel", refund=True)
    shop.fail_last_refund()
    assert (shop.shelf(), shop.listed()) == ({"TEE-M": 2, "SOCK": 1}, [])
    shop.gateway.status = "succeeded"
    assert shop.do("refunds", all=True).get_json()["amount"] == 5738


def test_cancel_says_explicitly_if_money_goes_back(shop: Shop) -> None:
    answers = [shop.do("cancel"), shop.do("cancel", refund=None), shop.do("cancel", refund="true")]
    assert [answer.status_code for answer in answers] == [422, 422, 422]
    shop.do("shipments", lines=[TEE])
    assert problem_of(shop.do("cancel", refund=True)) == (409, "order-shipped")


def test_cancel_with_a_refund_waits_for_an_open_chargeback(shop: Shop) -> None:
    shop.service.deliver(shop.purchase.dispute(reason="fraudulent"), shop.purchase.dispute("funds_withdrawn"))
    assert problem_of(shop.do("cancel", refund=True)) == (409, "order-disputed")
    assert shop.do("cancel", refund=False).status_code == 200


@pytest.mark.parametrize(
    ("before", "way_out"),
    [("nothing", "cancel"), ("review", "review"), ("parcel", None), ("parcel and review", "review"), ("cancel", None)],
)
def test_refused_disputed_refund_advises_only_what_works(shop: Shop, before: str, way_out: str | None) -> None:
    if "parcel" in before:
        assert shop.do("shipments", lines=[TEE]).status_code == 201
    if before == "cancel":
        assert shop.do("cancel", refund=False).status_code == 200
    if "review" in before:
        shop.service.deliver(shop.purchase.fraud_warning())
    shop.service.deliver(shop.purchase.dispute())
    detail = shop.do("refunds", all=True).get_json()["detail"]
    advice = re.search(r"POST /orders/CL-\w+/(\w+) with ({.*})", detail)
    assert (advice and advice[1]) == way_out
    if advice:
        assert shop.do(advice[1], **json.loads(advice[2])).status_code == 200


def test_order_refunded_in_the_dashboard_can_be_canceled(shop: Shop) -> None:
    shop.service.deliver(shop.purchase.refund("re_dashboard", 5738))
    assert shop.do("cancel", refund=True).status_code == 200
    assert (shop.shelf(), shop.gateway.refunds) == ({"TEE-M": 2, "SOCK": 1}, {})


def test_free_order_is_canceled_or_taken_back_without_money(
    service: OrdersService, client: FlaskClient, purchase: Purchase, gateway: FakeRefundGateway
) -> None:
    free: dict[str, Any] = {"amount_subtotal": 0, "amount_discount": 0, "amount_shipping": 0, "amount_total": 0}
    lines = [line | {"unit_amount": 0, "amount_total": 0} for line in LINES]
    no_payment: dict[str, Any] = {"payment_intent": None, "payment_status": "no_payment_required", "amount_subtotal": 0}
    paid = purchase.completed(**no_payment, amount_total=0, total_details=None)
    service.deliver(purchase.started(**free, lines=lines), paid)
    shop = Shop(service, client, gateway, purchase)
    assert shop.do("refunds", lines=[TEE]).status_code == 422
    assert shop.do("refunds", lines=[TEE], without_money=True, restock=True).get_json()["status"] == "succeeded"
    assert (shop.goods()["TEE-M"], shop.shelf()) == ((0, 1, 1), {"TEE-M": 1})
    assert shop.do("cancel", refund=True).status_code == 200
    assert (shop.shelf(), gateway.refunds) == ({"TEE-M": 2, "SOCK": 1}, {})


def test_review_decided_cancel_is_canceled_for_shipping(
    service: OrdersService, client: FlaskClient, gateway: FakeRefundGateway, purchase: Purchase
) -> None:
    service.deliver(purchase.started(), purchase.completed(amount_total=5700))
    shop = Shop(service, client, gateway, purchase)
    answer = post(client, service, "review", "k", decision="cancel").get_json()
    assert (answer["fulfillment_status"], answer["hold"], answer["pieces_owed"]) == ("canceled", "canceled", 0)
    assert (shop.listed(), shop.shelf()) == ([], {"TEE-M": 2, "SOCK": 1})
    service.deliver(purchase.completed("again", id="cs_2", payment_intent="pi_2"))
    assert post(client, service, "review", "k", decision="cancel").status_code == 200
    assert service.order().needs_review, "the repeated request does not decide the new review"
    assert problem_of(post(client, service, "review", "", decision="cancel")) == (400, "idempotency-key-required")
    assert problem_of(post(client, service, "review", "k", decision="accept")) == (409, "idempotency-key-reused")
    shop.do("review", decision="accept")
    assert "orders.order.paid" not in service.published_types()


def test_chargeback_holds_the_parcel_unless_a_reason_is_given(shop: Shop) -> None:
    shop.service.deliver(shop.purchase.dispute(reason="fraudulent"), shop.purchase.dispute("funds_withdrawn"))
    assert problem_of(shop.do("shipments", all=True)) == (409, "order-disputed")
    assert (shop.shown()["hold"], shop.listed()) == ("chargeback", [])
    assert shop.do("shipments", all=True, override=" ").status_code == 422
    answer = shop.do("shipments", all=True, override="The customer confirmed by phone")
    assert (answer.status_code, answer.get_json()["override"]) == (201, "The customer confirmed by phone")
    assert "A payment has a chargeback. “The customer confirmed by phone”" in shop.service.entry_texts()[-1]


def test_inquiry_ships(shop: Shop) -> None:
    shop.service.deliver(shop.purchase.dispute(status="warning_needs_response"))
    assert shop.listed() == ["chk_1"]
    assert shop.do("shipments", all=True).get_json()["override"] is None


def test_same_parcel_under_one_key_ships_once(shop: Shop) -> None:
    answers = [post(shop.client, shop.service, "shipments", "k", lines=[TEE]).get_json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert (len(shop.service.order().shipments), shop.goods()["TEE-M"]) == (1, (1, 0, 1))
