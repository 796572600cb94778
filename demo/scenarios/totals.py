"""The totals of everything that was bought: at Stripe, in the orders and in the inventory, side by side."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from demo.system import System

EVENTS_TIMEOUT_S = 20.0  # for the last events to arrive
PAID = ("paid", "no_payment_required")


@dataclass(frozen=True)
class Total:
    """A total as each side counts it: in minor units of `currency`, or in pieces if `currency` is None.

    A side that does not know the total has None.
    """

    name: str
    stripe: int | None
    orders: int
    inventory: int | None = None
    currency: str | None = None

    @property
    def ok(self) -> bool:
        """Return True if all sides that know the total agree."""
        return self.stripe in (None, self.orders) and self.inventory in (None, self.orders)


def compare_totals(system: System) -> list[Total]:
    """Return the totals when all of them agree, or as they are after `EVENTS_TIMEOUT_S` seconds."""
    deadline = time.monotonic() + EVENTS_TIMEOUT_S
    totals = _totals(system)
    while not all(total.ok for total in totals) and time.monotonic() < deadline:
        time.sleep(0.1)
        totals = _totals(system)
    return totals


def _totals(system: System) -> list[Total]:
    orders = [_get(system, "orders", f"/orders/{row['id']}") for row in _list(system, "orders", "/orders")]
    return [*_money_totals(system, orders), *_piece_totals(system, orders)]


def _money_totals(system: System, orders: list[dict[str, Any]]) -> Iterator[Total]:
    at_stripe, in_orders = _money_at_stripe(system.stripe.ledger), _money_in_orders(orders)
    for name, currency in sorted(at_stripe.keys() | in_orders.keys()):
        sides = at_stripe[name, currency], in_orders[name, currency]
        yield Total(f"{name} in {currency.upper()}", *sides, currency=currency)


def _money_at_stripe(ledger: dict[str, Any]) -> Counter[tuple[str, str]]:
    sums = Counter[tuple[str, str]]()
    for charge in ledger["charges"]:
        sums["charged", charge["currency"]] += charge["amount_captured"]
    for refund in ledger["refunds"]:
        sums["refunded", refund["currency"]] += refund["amount"] * (refund["status"] == "succeeded")
    for dispute in ledger["disputes"]:
        moved = sum(movement["amount"] for movement in dispute["balance_transactions"])
        sums["taken by banks", dispute["currency"]] -= moved
    return sums


def _money_in_orders(orders: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    sums = Counter[tuple[str, str]]()
    for order in orders:
        for own in order["sums"]:
            sums["charged", own["currency"]] += own["amount_paid"]
            sums["refunded", own["currency"]] += own["amount_refunded"]
        for dispute in order["disputes"]:
            sums["taken by banks", dispute["currency"]] += dispute["amount_held"] or 0
    return sums


def _piece_totals(system: System, orders: list[dict[str, Any]]) -> Iterator[Total]:
    """Yield the pieces of paid orders, without oversold ones: their pieces never left the stock."""
    sold = {order["checkout_id"]: order for order in orders if not _is_oversold(order) and order["status"] == "paid"}
    paid_sessions = {  # one for each checkout: an order that was paid twice has its pieces once
        session["metadata"].get("checkout_id"): session["id"]
        for session in system.stripe.ledger["sessions"]
        if session["payment_status"] in PAID
    }
    bought = sum(
        line["quantity"]
        for checkout_id, session_id in paid_sessions.items()
        if checkout_id in sold
        for line in system.stripe.line_items(session_id)
    )
    ordered = sum(line["quantity"] for order in sold.values() for line in order["lines"])
    moved = Counter[str]()
    for stock in _list(system, "inventory", "/stock"):
        for movement in _list(system, "inventory", f"/stock/{stock['sku']}/movements"):
            moved[movement["kind"]] += movement["delta"] if movement["checkout_id"] in sold else 0
    returned = sum(
        line["quantity"]
        for order in sold.values()
        for request in order["refund_requests"]
        for line in request["lines"]
        if line["restock"] and request["status"] in ("pending", "succeeded")
    )
    yield Total("pieces sold", bought, ordered, -moved["sale"])
    yield Total("pieces back in stock", None, returned, moved["return"])


def _is_oversold(order: dict[str, Any]) -> bool:
    return any(review["reason"] == "oversold" for review in order["reviews"])


def _list(system: System, service: str, path: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pages of a list."""
    query: str | None = "?limit=100"
    while query:
        page = _get(system, service, path + query)
        yield from page["items"]
        query = page["next_cursor"] and f"?limit=100&cursor={page['next_cursor']}"


def _get(system: System, service: str, path: str) -> dict[str, Any]:
    return system.get(service, path, operator=True).raise_for_status().json()  # type: ignore[no-any-return]
