"""Scenario of refunds, and the checks that other scenarios share."""

from demo.scenarios.run import Checkout, ScenarioRun, Stock, amount


def part_then_rest(run: ScenarioRun) -> None:
    """Refund one piece, then all the rest."""
    sku = "TEE-ORG-WHT-S"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 2})
    total = checkout["amount_total"]
    run.pay(checkout)
    run.check("Two T-shirts are sold", Stock(before.on_hand - 2, before.reserved), lambda: run.stock(sku))
    one = {"lines": [{"sku": sku, "quantity": 1, "restock": True}], "reason": "requested_by_customer"}
    run.operate_and_check("A refund of one T-shirt is accepted", 201, checkout, "refunds", **one)
    check_refunded(run, checkout, "partial", 1999)
    run.check("One T-shirt is back in stock", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(sku))
    run.operate_and_check("A refund of more than the rest is refused", 422, checkout, "refunds", amount=total)
    run.operate_and_check("A refund of the rest is accepted", 201, checkout, "refunds", restock=True)
    check_refunded(run, checkout, "full", total)
    run.check("Both T-shirts are back in stock", before, lambda: run.stock(sku))
    emails = ["order_confirmed", "refund_succeeded", "refund_succeeded"]
    run.check("The customer gets an e-mail for each refund", emails, run.customer_emails)


def check_refunded(run: ScenarioRun, checkout: Checkout, status: str, minor: int) -> None:
    """Check that the order and Stripe have refunds of this sum, in minor units."""
    run.check(f"The order has a {status} refund", f"{status}, {amount(minor)}", lambda: _refund(run, checkout))
    run.check("Stripe has refunded the same sum", amount(minor), lambda: run.amount_refunded_at_stripe(checkout))


def _refund(run: ScenarioRun, checkout: Checkout) -> str:
    order = run.order(checkout)
    return f"{order['refund_status']}, {amount(order['amount_refunded'])}"
