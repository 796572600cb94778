"""Goods against money in the whole system: what ships, what is owed and what is in stock after refunds."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from events import stripe_api
from orders.refunds.gateway import RefundGateway

from demo.embedded import embedded_system
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.scenarios.report import results_table
from demo.scenarios.run import Checkout, ScenarioRun, Stock
from demo.system import System

SKU, OTHER = "TEE-ORG-WHT-M", "BEA-RIB-RUS-OS"
ONE = [{"sku": SKU, "quantity": 1}]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with embedded_system(tmp_path_factory.mktemp("shop"), Ports.find_free()) as running:
        yield running


@pytest.fixture
def run(system: System, request: pytest.FixtureRequest) -> Iterator[ScenarioRun]:
    run = ScenarioRun(system, request.node.name)
    yield run
    wrong = [result for result in run.results if not result.ok]
    assert not wrong, results_table(wrong)


def control(run: ScenarioRun, action: str, **body: Any) -> None:
    """Act as Stripe or a bank through the fake Stripe's control API."""
    httpx.post(f"{stripe_url(run)}/_control/{action}", json=body).raise_for_status()


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
