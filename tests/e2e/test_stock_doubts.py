"""Pieces of an open cart are lost or released before a payment in time: what the customer reads, and when.

The tests act through the fake Stripe and the services' HTTP, on the embedded system.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from events.testing.waiting import wait_until

from demo.scenarios.run import ScenarioRun
from demo.system import System
from tests.e2e.test_stock import Shop

SlowInventory = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def slow_inventory(folder: Path) -> SlowInventory:
    """Return a context in which inventory answers no payment: another transaction has its database."""

    @contextmanager
    def locked() -> Iterator[None]:
        with closing(sqlite3.connect(folder / "inventory.db", isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    return locked


class DoubtShop(Shop):
    """A shop whose operators lose and release the pieces of open carts."""

    def lose(self, pieces: int, *holders: dict[str, Any]) -> None:
        self.move(adjust=-pieces, reason="moths")
        self._wait_for_doubts(*holders)

    def release(self, checkout: dict[str, Any]) -> None:
        path = f"/reservations/{checkout['checkout_id']}/release"
        self.operate("POST", "inventory", path, {"reason": "wrong cart"})
        self._wait_for_doubts(checkout)

    def buy_as_another_customer(self, pieces: int) -> None:
        other = ScenarioRun(self.system, f"{self.sku}-other")
        other.pay(other.start_checkout({self.sku: pieces}))

    def _wait_for_doubts(self, *checkouts: dict[str, Any]) -> None:
        """Wait until orders knows the doubts: customers need longer than that to pay."""
        for checkout in checkouts:
            wait_until(partial(self._is_doubted, checkout), within=30, what="orders knows the doubt")

    def _is_doubted(self, checkout: dict[str, Any]) -> bool:
        return "inventory.reservation.doubted" in self.facts(checkout)

    def facts(self, checkout: dict[str, Any]) -> list[str]:
        """Return the routing keys of the events that orders has handled about this checkout."""
        path = f"/ops/inbox?correlation_id={checkout['checkout_id']}&status=done"
        events = self.system.get("orders", path, operator=True).raise_for_status().json()["items"]
        return [event["routing_key"] for event in events]

    def check_only_mail(self, checkout: dict[str, Any], kind: str) -> None:
        """Check that the customer gets an e-mail of this kind, and no other one."""
        self.wait("the customer has an e-mail", [kind], lambda: self.kinds_to_customer(checkout))

    def page(self, checkout: dict[str, Any]) -> tuple[Any, ...]:
        """Return what the success page says: status, confirmed, and being checked."""
        shown = self.run.success_page(checkout)
        return shown.get("status"), shown.get("confirmed"), shown.get("needs_review")


@pytest.fixture
def shop(system: System, request: pytest.FixtureRequest) -> DoubtShop:
    number = abs(hash(request.node.name)) % 10**8
    return DoubtShop(system, f"SKU-{number}", 2)


BEING_CHECKED = ("paid", False, True)
CONFIRMED = ("paid", True, False)


@pytest.mark.parametrize("decision", ["accept", "refund"])
@pytest.mark.parametrize("cause", ["lost", "released"])
def test_gone_pieces_are_checked_before_any_confirmation(shop: DoubtShop, cause: str, decision: str) -> None:
    """The customer reads that the payment is checked, and then the decision."""
    started = shop.start(2)
    if cause == "lost":
        shop.lose(1, started)
    else:
        shop.release(started)
        shop.buy_as_another_customer(2)
    shop.run.pay(started)
    shop.wait("the page says so", BEING_CHECKED, lambda: shop.page(started))
    assert shop.run.order_field(started, "review_reason") == "oversold"
    shop.check_only_mail(started, "order_in_review")
    shop.move(adjust=2, reason="a delivery")
    assert shop.run.operate(started, "review", decision=decision).status_code == 200
    decided = "order_confirmed" if decision == "accept" else "refund_succeeded"
    shop.wait("the decision", decided, lambda: shop.kinds_to_customer(started)[-1])
    assert ("order_confirmed" in shop.kinds_to_customer(started)) == (decision == "accept")
    assert shop.page(started)[1:] == (decision == "accept", False)


@pytest.mark.parametrize("cause", ["lost", "released"])
def test_pieces_that_are_there_again_are_confirmed(shop: DoubtShop, cause: str) -> None:
    """The lost piece is found, or no other customer has bought the released ones."""
    started = shop.start(2)
    if cause == "lost":
        shop.lose(1, started)
        shop.move(adjust=1, reason="found behind the shelf")
    else:
        shop.release(started)
    shop.run.pay(started)
    shop.wait("the page says so", CONFIRMED, lambda: shop.page(started))
    shop.check_only_mail(started, "order_confirmed")
    assert shop.run.order_field(started, "reviews") == []
    assert shop.stock() == (0, 0)


def test_first_of_two_payers_gets_the_piece_that_is_left(shop: DoubtShop) -> None:
    first, last = shop.start(), shop.start()
    shop.lose(1, first, last)
    shop.run.pay(first)
    shop.wait("the first one has it", CONFIRMED, lambda: shop.page(first))
    shop.run.pay(last)
    shop.wait("the last one is checked", BEING_CHECKED, lambda: shop.page(last))
    shop.check_only_mail(first, "order_confirmed")
    shop.check_only_mail(last, "order_in_review")


def test_delayed_payment_of_lost_pieces_is_checked(shop: DoubtShop) -> None:
    """The bank needs days, and the pieces are lost meanwhile."""
    started = shop.start(2)
    shop.system.stripe.pay(started["session_id"], "sepa_success", shop.run.email)
    shop.wait("the payment is on its way", "payment_pending", lambda: shop.run.status(started))
    shop.lose(1, started)
    shop.system.stripe.settle(started["session_id"])
    shop.wait("the page says so", BEING_CHECKED, lambda: shop.page(started))
    kinds = ["payment_pending", "order_in_review"]
    shop.wait("it is never confirmed", kinds, lambda: shop.kinds_to_customer(started))


def test_missing_pieces_of_a_canceled_order_need_no_decision(shop: DoubtShop, slow_inventory: SlowInventory) -> None:
    """The operator cancels the order while inventory is slow. The customer reads nothing more about it."""
    started = shop.start(2)
    shop.lose(1, started)
    with slow_inventory():
        shop.run.pay(started)
        assert shop.run.operate(started, "shipments", all=True).status_code == 409
        assert shop.run.operate(started, "cancel", refund=True).status_code == 200
        kinds = ["order_canceled", "refund_succeeded"]
        shop.wait("the customer has the money", kinds, lambda: sorted(shop.kinds_to_customer(started)))
    shop.wait("inventory has answered", True, lambda: "inventory.reservation.oversold" in shop.facts(started))
    order = shop.run.order(started)
    assert (order["needs_review"], [review["reason"] for review in order["reviews"]]) == (False, ["oversold"])
    assert "Not in stock: 1 of 2" in order["timeline"][-1]["text"]
    shop.wait("the piece is back", (1, 0), shop.stock)
    assert sorted(shop.run.emails_about(started)) == kinds


def test_refunded_customer_does_not_read_of_missing_pieces(shop: DoubtShop, slow_inventory: SlowInventory) -> None:
    """Staff decide, because the refund can still fail. The customer has everything back and waits for nothing."""
    started = shop.start(2)
    shop.lose(1, started)
    with slow_inventory():
        shop.run.pay(started)
        shop.system.stripe.refund(started["session_id"])
        shop.check_only_mail(started, "refund_succeeded")
    shop.wait("staff decide", ["staff_review_opened"], lambda: shop.run.staff_emails(started))
    shop.check_only_mail(started, "refund_succeeded")


def test_carts_that_lose_nothing_are_confirmed_at_once(shop: DoubtShop) -> None:
    """They have another product, or were made after a delivery. Orders confirms them without inventory's answer."""
    other = DoubtShop(shop.system, f"{shop.sku}-X", 2)
    lost, elsewhere = shop.start(2), other.start()
    shop.lose(1, lost)
    shop.move(adjust=5, reason="a delivery")
    later = shop.start()
    for checkout in (elsewhere, later, lost):
        shop.run.pay(checkout)
        shop.wait("it is confirmed", CONFIRMED, partial(shop.page, checkout))
    answers = [[fact for fact in shop.facts(each) if "reservation" in fact] for each in (elsewhere, later, lost)]
    in_doubt = {"inventory.reservation.doubted", "inventory.reservation.committed"}
    assert [{*each} for each in answers] == [set(), set(), in_doubt]
