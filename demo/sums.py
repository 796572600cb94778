"""The sums of everything that was bought: at Stripe, in the orders and in the inventory, side by side."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.system import System

WITHIN = 20.0  # seconds for the last events to arrive
PAID = ("paid", "no_payment_required")


@dataclass(frozen=True)
class Sum:
    """Amounts in minor units; None where one side knows nothing of it."""

    what: str
    stripe: int | None
    orders: int
    inventory: int | None = None

    @property
    def ok(self) -> bool:
        return self.stripe in (None, self.orders) and self.inventory in (None, self.orders)


def compare(system: System) -> list[Sum]:
    """Look until all are equal, or time is up."""
    deadline = time.monotonic() + WITHIN
    found = _sums(system)
    while not all(one.ok for one in found) and time.monotonic() < deadline:
        time.sleep(0.1)
        found = _sums(system)
    return found


def _sums(system: System) -> list[Sum]:
    orders = [_get(system, "orders", f"/orders/{row['id']}") for row in _pages(system, "orders", "/orders")]
    return [*_money(system, orders), *_pieces(system, orders)]


def _money(system: System, orders: list[dict[str, Any]]) -> Iterator[Sum]:
    at_stripe, booked = _money_at_stripe(system.stripe.ledger), _money_booked(orders)
    for what in sorted(at_stripe.keys() | booked.keys()):
        yield Sum(what, at_stripe[what], booked[what])


def _money_at_stripe(ledger: dict[str, Any]) -> Counter[str]:
    sums = Counter[str]()
    for charge in ledger["charges"]:
        sums[f"charged {charge['currency']}"] += charge["amount_captured"]
    for refund in ledger["refunds"]:
        sums[f"refunded {refund['currency']}"] += refund["amount"] * (refund["status"] == "succeeded")
    for dispute in ledger["disputes"]:
        moved = sum(movement["amount"] for movement in dispute["balance_transactions"])
        sums[f"taken by banks {dispute['currency']}"] -= moved
    return sums


def _money_booked(orders: list[dict[str, Any]]) -> Counter[str]:
    sums = Counter[str]()
    for order in orders:
        sums[f"charged {order['currency']}"] += order["amount_paid"]
        sums[f"refunded {order['currency']}"] += order["amount_refunded"]
        for dispute in order["disputes"]:
            taken = dispute["funds_withdrawn_at"] and not dispute["funds_reinstated_at"]
            sums[f"taken by banks {dispute['currency']}"] += dispute["amount"] if taken else 0
    return sums


def _pieces(system: System, orders: list[dict[str, Any]]) -> Iterator[Sum]:
    """Of orders whose pieces were there: what was oversold was paid for, and never left the shelf."""
    sold = {order["checkout_id"]: order for order in orders if not _is_oversold(order) and order["status"] == "paid"}
    bought = sum(
        line["quantity"]
        for session in system.stripe.ledger["sessions"]
        if session["payment_status"] in PAID and session["metadata"].get("checkout_id") in sold
        for line in system.stripe.line_items(session["id"])
    )
    ordered = sum(line["quantity"] for order in sold.values() for line in order["lines"])
    moved = Counter[str]()
    for stock in _pages(system, "inventory", "/stock"):
        for movement in _pages(system, "inventory", f"/stock/{stock['sku']}/movements"):
            moved[movement["kind"]] += movement["delta"] if movement["checkout_id"] in sold else 0
    returned = sum(
        line["quantity"]
        for order in sold.values()
        for request in order["refund_requests"]
        for line in request["lines"]
        if line["restock"] and request["status"] in ("pending", "succeeded")
    )
    yield Sum("pieces sold", bought, ordered, -moved["sale"])
    yield Sum("pieces back in stock", None, returned, moved["return"])


def _is_oversold(order: dict[str, Any]) -> bool:
    return any(review["reason"] == "oversold" for review in order["reviews"])


def _pages(system: System, service: str, path: str) -> Iterator[dict[str, Any]]:
    query: str | None = "?limit=100"
    while query:
        page = _get(system, service, path + query)
        yield from page["items"]
        query = page["next_cursor"] and f"?limit=100&cursor={page['next_cursor']}"


def _get(system: System, service: str, path: str) -> dict[str, Any]:
    return system.get(service, path, operator=True).raise_for_status().json()  # type: ignore[no-any-return]
