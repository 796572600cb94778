"""Goods, money and what people read, from the customer's or the operator's act to the stock, the order and the e-mails.

The tests act through the fake Stripe and the services' HTTP, on the embedded system.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from events.testing.waiting import wait_until

from demo.scenarios.run import ScenarioRun, new_key
from demo.system import System


class Shop:
    """One customer, and operators with a new product of their own."""

    def __init__(self, system: System, sku: str, stock: int) -> None:
        self.system, self.sku = system, sku
        self.run = ScenarioRun(system, sku.lower())
        product = {"group": sku, "name": f"Product {sku}", "prices": {"eur": 2000, "chf": 2100}}
        self.operate("PUT", "checkout", f"/catalog/products/{sku}", product)
        self.move(on_hand=stock, expected=0, reason="a delivery")

    def operate(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.system.operate(method, service, path, body, **headers).raise_for_status().json()

    def move(self, **change: Any) -> Any:
        return self.operate("POST", "inventory", f"/stock/{self.sku}/movements", change, **new_key())

    def stock(self, *names: str) -> tuple[int, ...]:
        found = self.system.get("inventory", f"/stock/{self.sku}", operator=True).raise_for_status().json()
        return tuple(found[name] for name in names or ("on_hand", "reserved"))

    def start(self, pieces: int = 1, **options: Any) -> dict[str, Any]:
        return self.run.start_checkout({self.sku: pieces}, **options)

    def ask(self, pieces: int = 1, **options: Any) -> httpx.Response:
        return self.run.request_checkout({self.sku: pieces}, **options)

    def kinds_to_customer(self, checkout: dict[str, Any]) -> list[str]:
        """Return the kinds of e-mail that the customer got about this checkout, the oldest first."""
        return [kind for kind in self.run.emails_about(checkout) if not kind.startswith("staff_")]

    def wait(self, what: str, expected: Any, look: Any) -> None:
        try:
            wait_until(lambda: look() == expected, within=30, what=what)
        except TimeoutError:
            assert look() == expected, what


@pytest.fixture
def shop(system: System, request: pytest.FixtureRequest) -> Shop:
    number = abs(hash(request.node.name)) % 10**8
    return Shop(system, f"SKU-{number}", 2)


def test_recovered_cart_paid_late_keeps_its_stock(shop: Shop) -> None:
    """The first session expires, the customer comes back, and pays by a debit that takes days."""
    started = shop.start(2)
    shop.wait("the stock is reserved", (2, 2), shop.stock)
    shop.system.stripe.expire(started["session_id"])
    shop.wait("the stock is free", (2, 0), shop.stock)
    recovered = shop.system.stripe.recover(started["session_id"])
    shop.system.stripe.pay(recovered["id"], "sepa_success", shop.run.email)
    shop.wait("the stock is reserved again", (2, 2), shop.stock)
    assert shop.ask().status_code == 409
    held = shop.operate("GET", "inventory", f"/reservations?sku={shop.sku}&pending=true")["items"]
    assert [item["checkout_id"] for item in held] == [started["checkout_id"]]
    shop.system.stripe.settle(recovered["id"])
    shop.wait("the stock is sold", (0, 0), shop.stock)
    shop.wait("the order is paid", "paid", lambda: shop.run.status(started))
    shop.wait("nothing to review", False, lambda: shop.run.order_field(started, "needs_review"))


def test_refused_checkout_leaves_nothing_behind(shop: Shop) -> None:
    """The customer asks for too many, reduces the cart, and uses the same key and the same code."""
    code = f"CODE-{shop.sku}"
    shop.operate("PUT", "checkout", f"/catalog/discounts/{code}", {"percent_off": 10, "limit_per_email": 1})
    key = {"Idempotency-Key": f"key-{shop.sku}"}

    def ask(pieces: int) -> httpx.Response:
        body = {
            "items": [{"sku": shop.sku, "quantity": pieces}],
            "customer_email": shop.run.email,
            "discount_code": code,
        }
        return shop.system.post("checkout", "/checkout/sessions", body, **key)

    refused = ask(3)
    assert (refused.status_code, refused.json()["lines"][0]["available"]) == (409, 2)
    started = ask(2)
    assert started.status_code == 201, started.json()
    assert shop.stock() == (2, 2)
    shop.run.pay(started.json())
    shop.wait("the stock is sold", (0, 0), shop.stock)
    shop.wait("the code is used once", 1, lambda: shop.operate("GET", "checkout", f"/catalog/discounts/{code}")["used"])


def test_checkout_refused_by_stripe_leaves_nothing_behind(shop: Shop) -> None:
    """Stripe refuses an archived tax rate. The shop removes it, and the same key with the same code begins again."""
    rates = {"display_name": "VAT", "percentage": "19", "inclusive": "true"}
    rate = shop.system.stripe.create("tax_rates", rates)["id"]
    shop.system.stripe.create(f"tax_rates/{rate}", {"active": "false"})
    product = {"group": shop.sku, "name": f"Product {shop.sku}", "prices": {"eur": 2000}}
    shop.operate("PUT", "checkout", f"/catalog/products/{shop.sku}", product | {"tax_rates": [rate]})
    code, key = f"CODE-{shop.sku}", {"Idempotency-Key": f"key-{shop.sku}"}
    shop.operate("PUT", "checkout", f"/catalog/discounts/{code}", {"percent_off": 10, "limit_total": 1})
    cart = {
        "items": [{"sku": shop.sku, "quantity": 2}],
        "customer_email": shop.run.email,
        "discount_code": code,
        "shipping_option": "standard",
        "locale": "en",
    }
    refused = shop.system.post("checkout", "/checkout/sessions", cart, **key)
    assert (refused.status_code, refused.json()["errors"]["items"].keys()) == (422, {"0"})
    assert "provider refuses this product" in refused.text
    assert shop.stock() == (2, 0)
    discount = shop.operate("GET", "checkout", f"/catalog/discounts/{code}")
    assert (discount["used"], discount["held"]) == (0, 0)
    assert shop.operate("GET", "inventory", f"/reservations?sku={shop.sku}&status=held")["items"] == []
    shop.operate("PUT", "checkout", f"/catalog/products/{shop.sku}", product)
    started = shop.system.post("checkout", "/checkout/sessions", cart, **key)
    assert started.status_code == 201, started.text
    assert (started.json()["amount_discount"], shop.stock()) == (400, (2, 2))
    shop.run.pay(started.json())
    shop.wait("the stock is sold", (0, 0), shop.stock)
    shop.wait("the code is used once", 1, lambda: shop.operate("GET", "checkout", f"/catalog/discounts/{code}")["used"])
    shop.run.check_email_says("The customer reads what was charged", "order_confirmed", "€40.90")
    assert all(result.ok for result in shop.run.results), shop.run.results


def test_broken_reserved_piece_leads_to_a_review(shop: Shop) -> None:
    started = [shop.start(), shop.start()]
    shop.wait("both are reserved", (2, 2), shop.stock)
    assert shop.move(adjust=-1, reason="moths")["deficit"] == 1
    for checkout in started:
        shop.run.pay(checkout)
    shop.wait("one is sold, and waits for its parcel", (0, 0, 0, 1), lambda: shop.stock(
        "on_hand", "reserved", "deficit", "sold_unshipped"
    ))  # fmt: skip
    shop.wait(
        "one order needs a review",
        ["oversold"],
        lambda: [found for each in started if (found := shop.run.order_field(each, "review_reason"))],
    )
    good = next(each for each in started if not shop.run.order_field(each, "needs_review"))
    key = {"Idempotency-Key": f"parcel-{shop.sku}"}
    lines = {"lines": [{"sku": shop.sku, "quantity": 1}]}
    order_id = shop.run.order_field(good, "id")
    shop.operate("POST", "orders", f"/orders/{order_id}/shipments", lines, **key)
    shop.wait("nothing waits for a parcel", (0, 0), lambda: shop.stock("on_hand", "sold_unshipped"))


def test_repeated_count_is_made_once(shop: Shop) -> None:
    """A proxy repeats the request, and a customer buys meanwhile."""
    key = {"Idempotency-Key": f"count-{shop.sku}"}
    path = f"/stock/{shop.sku}/movements"
    change = {"adjust": 3, "reason": "a delivery"}
    for _ in range(2):
        assert shop.operate("POST", "inventory", path, change, **key)["on_hand"] == 5
    shop.run.pay(shop.start())
    shop.wait("one is sold", (4, 0), shop.stock)
    stale = {"on_hand": 5, "expected": 5, "reason": "counted"}
    assert shop.system.operate("POST", "inventory", path, stale).status_code == 409
    assert shop.stock() == (4, 0)


def test_counts_that_arrive_out_of_order_are_not_added(shop: Shop) -> None:
    """Two people count four of six pieces. The earlier count arrives last, and another one is older than the stock."""
    shop.move(adjust=4, reason="a delivery")
    path, now = f"/stock/{shop.sku}/movements", datetime.now(UTC)
    count = {"on_hand": 4, "reason": "counted", "counted_at": now.isoformat()}
    assert shop.operate("POST", "inventory", path, count)["on_hand"] == 4
    for earlier in (timedelta(seconds=1), timedelta(days=1)):
        answer = shop.system.operate("POST", "inventory", path, count | {"counted_at": (now - earlier).isoformat()})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:clozit:problem:stale-count")
    assert shop.stock() == (4, 0)


def test_sold_and_unshipped_pieces_follow_every_refund(shop: Shop) -> None:
    """Of two sold pieces, one ships, and the other one is refunded: damaged, then by a refund that fails."""
    started = shop.start(2)
    shop.run.pay(started)
    shop.wait("two wait for a parcel", (0, 2), lambda: shop.stock("on_hand", "sold_unshipped"))
    one = [{"sku": shop.sku, "quantity": 1}]
    assert shop.run.operate(started, "shipments", lines=one).status_code == 201
    shop.wait("one waits", (0, 1), lambda: shop.stock("on_hand", "sold_unshipped"))
    unshipped = [one[0] | {"unshipped": 1}]
    shop.system.stripe.queue_refund_status("pending")
    assert shop.run.operate(started, "refunds", lines=unshipped).status_code == 201
    shop.wait("none waits, and none is back", (0, 0), lambda: shop.stock("on_hand", "sold_unshipped"))
    [refund] = shop.run.order_field(started, "refunds")
    shop.system.stripe.advance_refund(refund["id"], "failed")
    shop.wait("the refund failed: it waits again", (0, 1), lambda: shop.stock("on_hand", "sold_unshipped"))
    assert shop.run.operate(started, "refunds", lines=unshipped, restock=True).status_code == 201
    shop.wait("it is for sale again", (1, 0), lambda: shop.stock("on_hand", "sold_unshipped"))
    assert shop.run.operate(started, "refunds", lines=one, restock=True).status_code == 201
    shop.wait("the other one comes back", (2, 0), lambda: shop.stock("on_hand", "sold_unshipped"))


def test_missing_piece_is_never_for_sale_again(shop: Shop) -> None:
    """Of two reserved pieces one is lost, so the order is oversold. One piece is refunded, and the other one ships."""
    started = shop.start(2)
    shop.move(adjust=-1, reason="moths")
    shop.run.pay(started)
    shop.wait("the order is reviewed", "oversold", lambda: shop.run.order_field(started, "review_reason"))
    assert shop.run.operate(started, "review", decision="accept").status_code == 200
    one = [{"sku": shop.sku, "quantity": 1}]
    assert shop.run.operate(started, "refunds", lines=one, restock=True).status_code == 201
    shop.wait("the refund is made", 1, lambda: len(shop.run.order_field(started, "refunds")))
    assert shop.run.operate(started, "shipments", all=True).status_code == 201
    shop.wait("nothing is left", (0, 0), lambda: shop.stock("on_hand", "sold_unshipped"))
    assert shop.run.operate(started, "refunds", lines=one, restock=True).status_code == 201
    shop.wait("the piece comes back", (1, 0), lambda: shop.stock("on_hand", "sold_unshipped"))


def test_second_shortage_of_an_order_is_reviewed_again(shop: Shop) -> None:
    """Both pieces are refunded and sold again, one after the other. Then both refunds fail."""
    started = shop.start(2)
    shop.run.pay(started)
    one = [{"sku": shop.sku, "quantity": 1}]
    for number in range(2):
        shop.system.stripe.queue_refund_status("pending")
        assert shop.run.operate(started, "refunds", lines=one, restock=True).status_code == 201
        shop.wait("it is for sale", (1, 0), shop.stock)
        other = ScenarioRun(shop.system, f"{shop.sku}-{number}")
        other.pay(other.start_checkout({shop.sku: 1}))
        shop.wait("it is sold again", (0, 0), shop.stock)
    for refund in shop.run.order_field(started, "refunds"):
        shop.system.stripe.advance_refund(refund["id"], "failed")
        shop.wait("the order is reviewed", "oversold", lambda: shop.run.order_field(started, "review_reason"))
        assert shop.run.operate(started, "review", decision="accept").status_code == 200
    subjects = {review["subject"] for review in shop.run.order_field(started, "reviews")}
    assert len(subjects) == 2, "one for each refund that failed"
    shop.move(adjust=2, reason="a delivery")
    assert shop.run.operate(started, "shipments", all=True).status_code == 201
    shop.wait("both have left, and the others wait", (0, 2), lambda: shop.stock("on_hand", "sold_unshipped"))


def test_customer_chooses_an_offered_shipping_option(shop: Shop) -> None:
    started = shop.start(shipping_option=None)
    assert (started["amount_shipping"], started["amount_total"]) == (490, 2490)
    offered = shop.system.stripe.session(started["session_id"])["shipping_options"]
    assert [each["shipping_amount"] for each in offered] == [490, 1290]
    chosen = offered[1]["shipping_rate"]
    shop.system.stripe.pay(started["session_id"], "card", shop.run.email, shipping_rate=chosen, country="US")
    shop.wait("the order is paid", "paid", lambda: shop.run.status(started))
    shop.wait("the order needs no review", None, lambda: shop.run.order_field(started, "review_reason"))
    shop.run.check_email_says("The customer reads what was charged", "order_confirmed", "€32.90")
    assert all(result.ok for result in shop.run.results), shop.run.results


def test_session_of_a_recovery_link_is_not_listed_as_open(shop: Shop) -> None:
    started = shop.start()
    path = f"/checkouts?sku={shop.sku}"
    assert [item["checkout_id"] for item in shop.operate("GET", "checkout", path)["items"]] == [started["checkout_id"]]
    shop.system.stripe.expire(started["session_id"])
    shop.wait("it expires", 1, lambda: len(shop.operate("GET", "checkout", f"{path}&status=expired")["items"]))
    recovered = shop.system.stripe.recover(started["session_id"])
    assert shop.operate("GET", "checkout", path)["items"] == []
    shop.operate("POST", "checkout", f"/checkouts/{started['checkout_id']}/cancel")
    assert shop.system.stripe.session(recovered["id"])["status"] == "open"
    shop.system.stripe.pay(recovered["id"], "card", shop.run.email)
    shop.wait("it is paid", 1, lambda: len(shop.operate("GET", "checkout", f"{path}&status=complete")["items"]))


def test_cart_in_a_currency_without_shipping_is_refused(shop: Shop) -> None:
    answer = shop.ask(currency="chf", shipping_option=None)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["currency"])
    assert shop.stock() == (2, 0)


def test_open_checkouts_of_a_withdrawn_product_are_canceled(shop: Shop) -> None:
    started = shop.start()
    listed = shop.operate("GET", "checkout", f"/checkouts?sku={shop.sku}")["items"]
    assert [item["checkout_id"] for item in listed] == [started["checkout_id"]]
    shop.operate("POST", "checkout", f"/checkouts/{started['checkout_id']}/cancel")
    shop.wait("the stock is free", (2, 0), shop.stock)
    shop.wait("the order is canceled", "canceled", lambda: shop.run.status(started))
    assert shop.system.stripe.session(started["session_id"])["status"] == "expired"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer_email": "zoe@-example.com"}, "customer_email"),
        ({"customer_email": "zoë@example.com"}, "customer_email"),
        ({"locale": "tlh"}, "locale"),
    ],
)
def test_value_that_stripe_refuses_is_refused_by_field(shop: Shop, change: dict[str, Any], field: str) -> None:
    answer = shop.ask(**change)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
    assert shop.stock() == (2, 0)
