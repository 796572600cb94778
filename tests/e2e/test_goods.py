"""Goods against money in the whole system: what ships, what is owed and what is in stock after refunds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from events import stripe_api
from events.database.engine import Database
from events.testing import http
from events.testing.columns import columns_with
from orders import erasure
from orders.refunds.gateway import RefundGateway

from demo.fake_stripe.server import FakeStripe
from demo.scenarios.report import results_table
from demo.scenarios.run import Checkout, ScenarioRun, Stock
from demo.system import System

SKU, OTHER = "TEE-ORG-WHT-M", "BEA-RIB-RUS-OS"
ONE = [{"sku": SKU, "quantity": 1}]


@pytest.fixture
def databases(system: System, folder: Path) -> Iterator[dict[str, Database]]:
    """Return the databases of the running system by service."""
    made = {path.stem: Database(f"sqlite:///{path}") for path in folder.glob("*.db")}
    yield made
    for database in made.values():
        database.dispose()


@pytest.fixture
def run(system: System, request: pytest.FixtureRequest) -> Iterator[ScenarioRun]:
    run = ScenarioRun(system, request.node.name)
    yield run
    wrong = [result for result in run.results if not result.ok]
    assert not wrong, results_table(wrong)


def control(run: ScenarioRun, action: str, **body: Any) -> None:
    """Act as Stripe or a bank through the fake Stripe's control API."""
    http.post(f"{stripe_url(run)}/_control/{action}", json=body).raise_for_status()


def stripe_url(run: ScenarioRun) -> str:
    """Return the address of the fake Stripe in this process."""
    assert isinstance(run.system.stripe, FakeStripe)
    return run.system.stripe.url


def bought(run: ScenarioRun, **quantities: int) -> Checkout:
    """Return a paid checkout."""
    checkout = run.start_checkout({SKU: quantities.get("tees", 2), OTHER: 1})
    run.pay(checkout)
    return checkout


def end_last_refund(run: ScenarioRun, checkout: Checkout, status: str) -> None:
    """Let the last refund of the order end with this status at Stripe."""
    refund_id = run.order_field(checkout, "refunds")[-1]["id"]
    control(run, "refund", refund_id=refund_id, status=status)
    run.check(f"The refund is {status}", status, lambda: run.order_field(checkout, "refunds")[-1]["status"])


def is_picked(run: ScenarioRun, checkout: Checkout) -> bool:
    """Return True if the order is in the pick list."""
    path = f"/orders?to_ship=true&checkout_id={checkout['checkout_id']}"
    return bool(run.system.get("orders", path, operator=True).raise_for_status().json()["items"])


def test_refund_under_way_holds_the_parcel_until_it_fails(run: ScenarioRun) -> None:
    checkout = bought(run)
    control(run, "next-refund", status="pending")
    run.operate_and_check("The refund of all is accepted", 201, checkout, "refunds", all=True)
    run.operate_and_check("Nothing ships", 409, checkout, "shipments", all=True)
    run.check("It is not in the pick list", False, lambda: is_picked(run, checkout))
    end_last_refund(run, checkout, "failed")
    run.check("It is in the pick list again", True, lambda: is_picked(run, checkout))
    run.operate_and_check("The order ships", 201, checkout, "shipments", all=True)
    run.check("It is fulfilled", "fulfilled", lambda: run.order_field(checkout, "fulfillment_status"))


def test_piece_returns_to_the_shelf_once_in_two_refunds(run: ScenarioRun) -> None:
    before = run.stock(SKU)
    checkout = bought(run)
    run.check("Two are sold", Stock(before.on_hand - 2, before.reserved), lambda: run.stock(SKU))
    control(run, "next-refund", status="pending")
    run.operate_and_check("One is refunded", 201, checkout, "refunds", lines=ONE, restock=True)
    run.check("It is in stock", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(SKU))
    end_last_refund(run, checkout, "failed")
    run.check("It is owed again", Stock(before.on_hand - 2, before.reserved), lambda: run.stock(SKU))
    run.operate_and_check("It is refunded again", 201, checkout, "refunds", lines=ONE, restock=True)
    run.check("It is in stock once", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(SKU))
    run.operate_and_check("The rest ships", 201, checkout, "shipments", all=True)
    shipped = [*ONE, {"sku": OTHER, "quantity": 1}]
    run.check("Two pieces are in it", shipped, lambda: run.order_field(checkout, "shipments")[0]["lines"])


def test_other_tee_is_owed_when_the_shipped_one_comes_back(run: ScenarioRun) -> None:
    before = run.stock(SKU)
    checkout = bought(run)
    run.operate_and_check("One tee ships", 201, checkout, "shipments", lines=ONE)
    run.operate_and_check("It comes back", 201, checkout, "refunds", lines=ONE, restock=True)
    run.check("It is in stock", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(SKU))
    run.check("Two pieces are owed", 2, lambda: run.order_field(checkout, "pieces_owed"))
    run.operate_and_check("They ship", 201, checkout, "shipments", all=True)


def test_chargeback_holds_the_parcel_unless_overridden(run: ScenarioRun) -> None:
    checkout = bought(run)
    run.system.stripe.open_dispute(checkout["session_id"], reason="fraudulent")
    run.check("The order has an open dispute", "open", lambda: run.order_field(checkout, "dispute_status"))
    run.check("It is not in the pick list", False, lambda: is_picked(run, checkout))
    run.operate_and_check("Nothing ships", 409, checkout, "shipments", all=True)
    why = {"override": "The customer withdrew the dispute"}
    run.operate_and_check("It ships with a reason", 201, checkout, "shipments", all=True, **why)


def test_order_refunded_in_the_dashboard_is_canceled(run: ScenarioRun) -> None:
    before = run.stock(SKU)
    checkout = bought(run)
    run.system.stripe.refund(checkout["session_id"])
    run.check("It is refunded", "full", lambda: run.order_field(checkout, "refund_status"))
    run.operate_and_check("Money without an extent is refused", 422, checkout, "cancel")
    run.operate_and_check("The order is canceled", 200, checkout, "cancel", refund=True)
    run.check("The pieces are in stock again", before, lambda: run.stock(SKU))
    run.check("It reads canceled", "canceled", lambda: run.order_field(checkout, "fulfillment_status"))
    run.check("There is one refund", 1, lambda: len(run.order_field(checkout, "refunds")))


def test_lines_of_a_session_have_their_skus_and_charged_amounts(run: ScenarioRun) -> None:
    checkout = bought(run)
    gateway = RefundGateway(stripe_api.client("sk_test_demo", stripe_url(run), retries=0))
    items = gateway.line_items(checkout["session_id"])
    charged = {item["price"]["product"]["metadata"]["sku"]: item["amount_total"] for item in items}
    lines = run.order_field(checkout, "lines")
    run.check("Each line has its amount", {line["sku"]: line["amount_total"] for line in lines}, lambda: charged)


def paid_twice(run: ScenarioRun) -> tuple[Checkout, str]:
    """Return a checkout whose cart the customer recovered and paid twice, and the id of the second payment."""
    checkout = run.start_checkout({SKU: 2, OTHER: 1})
    run.system.stripe.expire(checkout["session_id"])
    run.check("The session expires", "expired", lambda: run.status(checkout))
    for paid in (1, 2):
        run.system.stripe.pay(run.system.stripe.recover(checkout["session_id"])["id"], "card", run.email)
        total = paid * checkout["amount_total"]
        run.check("The money is there", total, lambda: run.order_field(checkout, "amount_paid"))
    run.check("It is reviewed", "duplicate-payment", lambda: run.order_field(checkout, "review_reason"))
    order = run.order(checkout)
    [second] = [payment["id"] for payment in order["payments"] if payment["id"] != order["payment_intent"]]
    return checkout, second


def test_refund_of_a_second_payment_leaves_the_pieces(run: ScenarioRun) -> None:
    before = run.stock(SKU)
    checkout, second = paid_twice(run)
    total, sold = checkout["amount_total"], Stock(before.on_hand - 2, before.reserved)
    run.check("Two are sold", sold, lambda: run.stock(SKU))
    of_second = {"all": True, "payment_id": second}
    run.operate_and_check("Its pieces cannot return", 422, checkout, "refunds", **of_second, restock=True)
    run.operate_and_check("The second payment is refunded", 201, checkout, "refunds", **of_second)
    refund = {"payment_id": second, "status": "succeeded", "amount": total}
    seen = lambda: [{name: each[name] for name in refund} for each in run.order_field(checkout, "refunds")]  # noqa: E731
    run.check("One payment is refunded", [refund], seen)
    run.check("The order is partly refunded", "partial", lambda: run.order_field(checkout, "refund_status"))
    owed = {SKU: (2, 0, 2), OTHER: (1, 0, 1)}
    run.check("All pieces are owed", owed, lambda: pieces(run, checkout))
    run.check("None is in stock again", sold, lambda: run.stock(SKU))
    sums = (euros(total), euros(2 * total))
    run.check_email_says("The customer has one of two payments back", "refund_succeeded", *sums)
    run.check("They do not read that all is back", False, lambda: "everything" in run.email_text("refund_succeeded"))
    run.operate_and_check("The review is accepted", 200, checkout, "review", decision="accept")
    run.operate_and_check("The order ships", 201, checkout, "shipments", all=True)
    run.check("All pieces shipped", {SKU: (2, 2, 0), OTHER: (1, 1, 0)}, lambda: pieces(run, checkout))
    run.check("The shelf has what the books say", sold, lambda: run.stock(SKU))


def pieces(run: ScenarioRun, checkout: Checkout) -> dict[str, tuple[int, int, int]]:
    """Return the bought, shipped and owed pieces by sku, as operators read them."""
    return {one["sku"]: (one["bought"], one["shipped"], one["owed"]) for one in run.order_field(checkout, "goods")}


def euros(minor: int) -> str:
    return f"€{minor // 100}.{minor % 100:02}"


def free_order(run: ScenarioRun) -> Checkout:
    """Return a completed checkout of two tees with nothing to pay."""
    gift = {"name": "Gift", "amounts": {"eur": 0}, "min_days": 1, "max_days": 3}
    run.system.operate("PUT", "checkout", "/catalog/shipping-options/gift", gift).raise_for_status()
    run.system.operate("PUT", "checkout", "/catalog/discounts/GIFT", {"percent_off": 100}).raise_for_status()
    checkout = run.start_checkout({SKU: 2}, discount_code="gift", shipping_option="gift")
    run.pay(checkout, effect="The order is complete")
    run.check("Nothing was paid", 0, lambda: run.order_field(checkout, "amount_paid"))
    return checkout


def test_free_order_is_canceled_and_its_customer_erased(run: ScenarioRun, databases: dict[str, Database]) -> None:
    before = run.stock(SKU)
    checkout = free_order(run)

    def erase() -> tuple[str, ...]:
        """Erase the customer and return the reasons against it."""
        [order] = erasure.find_by_checkouts(databases["orders"], [checkout["checkout_id"]])
        return tuple(erasure.erase_customer(databases["orders"], order, erasure.ErasureRequest("zoe")).blockers)

    def left() -> dict[str, list[str]]:
        found = {service: columns_with(database, run.email) for service, database in databases.items()}
        return {service: columns for service, columns in found.items() if columns}

    run.check("Two are sold", Stock(before.on_hand - 2, before.reserved), lambda: run.stock(SKU))
    run.check("Owed pieces are against an erasure", ["Pieces to ship: 2."], lambda: [text[:18] for text in erase()])
    recorded = {"lines": ONE, "without_money": True, "restock": True}
    run.operate_and_check("A refund of no money is refused", 422, checkout, "refunds", lines=ONE)
    run.operate_and_check("One piece comes back without money", 201, checkout, "refunds", **recorded)
    run.check("It is in stock", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(SKU))
    run.operate_and_check("The order is canceled", 200, checkout, "cancel", refund=True)
    run.check("Both are in stock again", before, lambda: run.stock(SKU))
    status = lambda: (run.order_field(checkout, "fulfillment_status"), run.order_field(checkout, "hold"))  # noqa: E731
    run.check("It reads canceled", ("canceled", "canceled"), status)
    run.check("Stripe refunds nothing", [], lambda: run.order_field(checkout, "refunds"))
    run.check_email_says("The customer reads it", "order_canceled", "There was nothing to pay, so there is nothing to")
    run.check("Two e-mails are sent", ["order_canceled", "order_confirmed"], run.customer_emails)
    run.check("Their data is in three services", {"checkout", "orders", "notifications"}, lambda: set(left()))
    run.check("Nothing is against the erasure", (), erase)
    run.check("Their data is nowhere", {}, left)
    run.check("The order has no address", None, lambda: run.order_field(checkout, "customer_email"))


def refundable(run: ScenarioRun, checkout: Checkout) -> list[int]:
    """Return what operators read as refundable of each payment."""
    return [payment["amount_refundable"] for payment in run.order_field(checkout, "payments")]


def test_refundable_sum_is_what_a_refund_of_all_refunds(run: ScenarioRun) -> None:
    checkout = bought(run)
    total = checkout["amount_total"]
    run.check("All can be refunded", [total], lambda: refundable(run, checkout))
    control(run, "next-refund", status="pending")
    run.operate_and_check("A refund is under way", 201, checkout, "refunds", amount=1000)
    run.check("None is counted as refunded", 0, lambda: run.order_field(checkout, "amount_refunded"))
    run.check("The rest can be refunded", [total - 1000], lambda: refundable(run, checkout))
    answer = run.operate(checkout, "refunds", all=True).json()
    run.check("The API refunds the same", (total - 1000, "succeeded"), lambda: (answer["amount"], answer["status"]))
    run.check("Nothing is left", [0], lambda: refundable(run, checkout))


def test_refundable_sum_is_without_failed_refunds(run: ScenarioRun) -> None:
    checkout = bought(run)
    total = checkout["amount_total"]
    control(run, "next-refund", status="pending")
    run.operate_and_check("A refund is under way", 201, checkout, "refunds", amount=1000)
    end_last_refund(run, checkout, "failed")
    run.check("All can be refunded again", [total], lambda: refundable(run, checkout))
