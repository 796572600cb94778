"""Goods against money, as people see them: in the order, the pick list, the stock and the e-mails.

The tests act as customers, banks and operators do: through the fake Stripe and the services' HTTP.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events.database.engine import Database
from events.testing import http
from orders import erasure

from demo.fake_stripe.server import FakeStripe
from demo.scenarios.report import results_table
from demo.scenarios.run import Checkout, Stock
from demo.system import System
from tests.e2e.shopper import Shopper

numbers = itertools.count()


@pytest.fixture
def buyer(system: System, request: pytest.FixtureRequest) -> Iterator["Buyer"]:
    made = Buyer(system, request.node.originalname.removeprefix("test_")[:30])
    yield made
    wrong = [result for result in made.results if not result.ok]
    assert not wrong, results_table(wrong)


class Buyer(Shopper):
    """A customer who buys a product that no other test sells. Two pieces of it are in stock."""

    def __init__(self, system: System, name: str, sku: str = "") -> None:
        super().__init__(system, name)
        self.sku = sku or f"GOODS-{next(numbers)}"
        if not sku:
            product = {"group": self.sku, "name": f"Product {self.sku}", "prices": {"eur": 2000}}
            system.operate("PUT", "checkout", f"/catalog/products/{self.sku}", product).raise_for_status()
            self.count(2, expected=0)

    def count(self, on_hand: int, expected: int) -> None:
        path, counted = f"/stock/{self.sku}/movements", {"on_hand": on_hand, "expected": expected, "reason": "counted"}
        self.system.operate("POST", "inventory", path, counted).raise_for_status()

    def start(self, pieces: int = 2) -> Checkout:
        return self.start_checkout({self.sku: pieces})

    def bought(self, pieces: int = 2) -> Checkout:
        checkout = self.start(pieces)
        self.pay(checkout)
        self.check("They are sold", (2 - pieces, pieces), self.shelf)
        return checkout

    def lines(self, pieces: int = 1) -> list[dict[str, Any]]:
        return [{"sku": self.sku, "quantity": pieces}]

    def shelf(self) -> tuple[int, int]:
        """Return the pieces for sale, and the sold ones that wait for a parcel."""
        found = self.system.get("inventory", f"/stock/{self.sku}", operator=True).raise_for_status().json()
        return found["on_hand"], found["sold_unshipped"]

    def goods(self, checkout: Checkout) -> tuple[int, int, int, int]:
        """Return the pieces that were bought, have shipped, do not ship any more, and are owed."""
        [of_sku] = self.order_field(checkout, "goods")
        return of_sku["bought"], of_sku["shipped"], of_sku["refunded_unshipped"], of_sku["owed"]

    def becomes(self, checkout: Checkout, field: str, value: Any) -> None:
        self.check(f"{field} is {value}", value, lambda: self.order_field(checkout, field))

    def picked(self) -> set[str]:
        """Return the checkouts of this customer's orders in the pick list."""
        path = f"/orders?to_ship=true&email={self.email}"
        rows = self.system.get("orders", path, operator=True).raise_for_status().json()["items"]
        return {row["checkout_id"] for row in rows}

    def refusal(self, checkout: Checkout, action: str, **body: Any) -> str:
        """Send an operator's act that is refused, and return the problem's sentence."""
        answer = self.operate(checkout, action, **body)
        assert answer.status_code == 409, answer.text
        return str(answer.json()["detail"])


def sell_out(buyer: Buyer, checkout: Checkout) -> dict[str, Any]:
    """Let the session expire and another customer buy the pieces. Return the session of the recovery link."""
    stripe = buyer.system.stripe
    stripe.expire(checkout["session_id"])
    buyer.check("The pieces are free", Stock(2, 0), lambda: buyer.stock(buyer.sku))
    Buyer(buyer.system, "other", buyer.sku).bought()
    return stripe.recover(checkout["session_id"])


def test_refund_of_all_under_way_owes_nothing_until_it_fails(buyer: Buyer) -> None:
    checkout = buyer.bought()
    buyer.system.stripe.queue_refund_status("pending")
    buyer.operate_and_check("The refund is accepted", 201, checkout, "refunds", all=True)
    assert (buyer.goods(checkout), buyer.order_field(checkout, "hold")) == ((2, 0, 2, 0), "nothing-owed")
    assert "under way cover its payments" in buyer.refusal(checkout, "shipments", all=True)
    assert "under way cover its payments" in buyer.refusal(checkout, "shipments", lines=buyer.lines())
    assert buyer.picked() == set()
    buyer.check("No piece waits for a parcel", (0, 0), buyer.shelf)
    [refund] = buyer.order_field(checkout, "refunds")
    buyer.system.stripe.advance_refund(refund["id"], "failed")
    buyer.check("Both wait again", (0, 2), buyer.shelf)
    assert (buyer.goods(checkout), buyer.picked()) == ((2, 0, 0, 2), {checkout["checkout_id"]})
    assert buyer.email in buyer.text("staff_refund_failed")
    assert buyer.mails("order_shipped") == []
    buyer.operate_and_check("The order ships", 201, checkout, "shipments", all=True)
    assert f"Product {buyer.sku}" in buyer.text("order_shipped")


def test_refund_under_way_keeps_a_late_order_unconfirmed(buyer: Buyer) -> None:
    """The pieces of the recovered cart are gone. Staff accept the review while a refund of all is under way."""
    checkout = buyer.start()
    buyer.system.stripe.pay(sell_out(buyer, checkout)["id"], "card", buyer.email)
    buyer.becomes(checkout, "review_reason", "oversold")
    buyer.system.stripe.queue_refund_status("pending")
    buyer.operate_and_check("The refund is accepted", 201, checkout, "refunds", all=True)
    buyer.operate_and_check("The review is accepted", 200, checkout, "review", decision="accept")
    assert buyer.success_page(checkout)["confirmed"] is False
    [refund] = buyer.order_field(checkout, "refunds")
    buyer.system.stripe.advance_refund(refund["id"], "failed")
    buyer.check("It is confirmed", True, lambda: buyer.success_page(checkout)["confirmed"])
    assert f"Product {buyer.sku}" in buyer.text("order_confirmed")
    assert len(buyer.mails("order_confirmed")) == 1


def test_damaged_unshipped_piece_does_not_ship(buyer: Buyer) -> None:
    checkout = buyer.bought()
    buyer.operate_and_check("It is refunded, not restocked", 201, checkout, "refunds", lines=buyer.lines())
    buyer.check("The other one waits, and none is for sale", (0, 1), buyer.shelf)
    assert buyer.goods(checkout) == (2, 0, 1, 1)
    buyer.operate_and_check("What is left ships", 201, checkout, "shipments", all=True)
    assert buyer.order_field(checkout, "shipments")[0]["lines"] == buyer.lines()
    assert (buyer.goods(checkout), buyer.order_field(checkout, "fulfillment_status")) == ((2, 1, 1, 0), "fulfilled")
    shipped = buyer.text("order_shipped")
    assert f"1 × Product {buyer.sku}" in shipped  # noqa: RUF001
    assert "Still to come" not in shipped
    buyer.check("Nothing waits", (0, 0), buyer.shelf)
    assert "no pieces left to ship" in buyer.refusal(checkout, "shipments", all=True)


def test_goods_refunded_in_the_dashboard_return_without_money(buyer: Buyer, folder: Path) -> None:
    checkout = buyer.bought()
    buyer.system.stripe.refund(checkout["session_id"])
    assert "you have everything back" in buyer.text("refund_succeeded").lower()
    buyer.check("No piece waits for a parcel, and none is for sale", (0, 0), buyer.shelf)
    without_money = {"without_money": True, "restock": True}
    buyer.operate_and_check("One is restocked", 201, checkout, "refunds", lines=buyer.lines(), **without_money)
    buyer.check("It is for sale", (1, 0), buyer.shelf)
    buyer.operate_and_check("The order is canceled", 200, checkout, "cancel", refund=True)
    buyer.check("Both are for sale, each once", (2, 0), buyer.shelf)
    assert len(buyer.order_field(checkout, "refunds")) == 1, "Stripe refunds nothing more"
    assert (buyer.goods(checkout), buyer.order_field(checkout, "hold")) == ((2, 0, 2, 0), "canceled")
    database = Database(f"sqlite:///{folder / 'orders'}.db")
    [order_id] = erasure.find_by_checkouts(database, [checkout["checkout_id"]])
    assert list(erasure.erase_customer(database, order_id, erasure.ErasureRequest("zoe")).blockers) == []
    database.dispose()
    buyer.becomes(checkout, "customer_email", None)


def test_pick_list_has_only_what_may_ship(buyer: Buyer) -> None:
    stripe = buyer.system.stripe
    buyer.count(5, expected=2)
    orders = {name: buyer.start(1) for name in ("plain", "inquiry", "chargeback", "refunded", "canceled")}
    for checkout in orders.values():
        buyer.pay(checkout)
    stripe.open_dispute(orders["inquiry"]["session_id"], inquiry=True)
    stripe.open_dispute(orders["chargeback"]["session_id"], reason="fraudulent")
    stripe.refund(orders["refunded"]["session_id"])
    buyer.operate_and_check("One is canceled", 200, orders["canceled"], "cancel", refund=True)
    may_ship = {orders[name]["checkout_id"] for name in ("plain", "inquiry")}
    buyer.check("They may ship", may_ship, buyer.picked)
    holds = {"inquiry": None, "chargeback": "chargeback", "refunded": "nothing-owed", "canceled": "canceled"}
    assert {name: buyer.order_field(orders[name], "hold") for name in holds} == holds
    for name in ("refunded", "canceled"):
        assert buyer.operate(orders[name], "shipments", all=True, override="I know").status_code == 409
    assert "To ship in spite of it, send a reason in override." in buyer.refusal(
        orders["chargeback"], "shipments", all=True
    )
    buyer.operate_and_check("The inquiry ships", 201, orders["inquiry"], "shipments", all=True)
    buyer.operate_and_check("It ships knowingly", 201, orders["chargeback"], "shipments", all=True, override="agreed")


def test_late_expiry_frees_nothing_of_a_payment_under_way(buyer: Buyer) -> None:
    """The customer pays the recovered cart by a debit before the first session's end is reported."""
    checkout, stripe = buyer.start(), buyer.system.stripe
    assert isinstance(stripe, FakeStripe)
    stripe.add_fault("drop", type="checkout.session.expired", acknowledged=True)
    stripe.expire(checkout["session_id"])
    recovered = stripe.recover(checkout["session_id"])
    stripe.pay(recovered["id"], "sepa_success", buyer.email)
    buyer.mail("payment_pending")
    deliver_expiry(buyer, stripe, checkout["session_id"])
    path = f"/reservations?sku={buyer.sku}"
    [reservation] = buyer.system.get("inventory", path, operator=True).json()["items"]
    assert reservation["status"] != "released"
    stripe.settle(recovered["id"])
    buyer.check("They are sold", (0, 2), buyer.shelf)
    assert f"Product {buyer.sku}" in buyer.text("order_confirmed")
    assert buyer.order_field(checkout, "needs_review") is False


@pytest.mark.parametrize(("method", "kind"), [("sepa_success", "payment_pending"), ("voucher", "payment_instructions")])
def test_customer_of_a_sold_out_cart_reads_of_no_reserved_items(buyer: Buyer, method: str, kind: str) -> None:
    checkout = buyer.start()
    recovered = sell_out(buyer, checkout)
    buyer.system.stripe.pay(recovered["id"], method, buyer.email)
    assert "reserved" not in buyer.text(kind)
    assert buyer.stock(buyer.sku) == Stock(0, 0)
    buyer.system.stripe.settle(recovered["id"])
    assert "We are checking your order" in buyer.mail("order_in_review").subject
    assert "not all of its pieces are in stock" in buyer.text("staff_review_opened")
    assert buyer.mails("order_confirmed") == []


def test_review_decided_cancel_ships_nothing(buyer: Buyer) -> None:
    checkout = buyer.bought()
    buyer.system.stripe.warn(checkout["session_id"])
    buyer.becomes(checkout, "needs_review", True)
    buyer.operate_and_check("It is decided", 200, checkout, "review", decision="cancel")
    order = buyer.order(checkout)
    assert (order["status"], order["fulfillment_status"], order["hold"]) == ("paid", "canceled", "canceled")
    assert (buyer.goods(checkout), buyer.picked()) == ((2, 0, 2, 0), set())
    assert "with the decision cancel" in buyer.refusal(checkout, "shipments", all=True, override="a mistake")
    buyer.check("No piece waits for a parcel", 0, lambda: buyer.shelf()[1])
    assert "so we will not ship it" in buyer.text("order_canceled")


def deliver_expiry(buyer: Buyer, stripe: FakeStripe, session_id: str) -> None:
    """Deliver the session's dropped `expired` event, and wait until inventory has handled it."""
    [event_id] = [
        event["id"]
        for event in stripe.account.store.all("event")
        if event["type"] == "checkout.session.expired" and event["data"]["object"]["id"] == session_id
    ]
    http.post(f"{stripe.url}/_control/resend", json={"event_id": event_id}).raise_for_status()
    path = f"/ops/inbox/{event_id}"
    inbox = lambda: buyer.system.get("inventory", path, operator=True).json().get("status")  # noqa: E731 - a look
    buyer.check("Inventory has handled it", "done", inbox)
