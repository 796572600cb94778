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
    run.operate_and_check("A refund of the rest is accepted", 201, checkout, "refunds", all=True, restock=True)
    check_refunded(run, checkout, "full", total)
    run.check("Both T-shirts are back in stock", before, lambda: run.stock(sku))
    emails = ["order_confirmed", "refund_succeeded", "refund_succeeded"]
    run.check("The customer gets an e-mail for each refund", emails, run.customer_emails)


def canceled_order(run: ScenarioRun) -> None:
    """Refund one of two pieces without restock, then cancel the paid order. Only the other piece returns to stock."""
    sku = "HOD-HVY-FOR-S"
    before = run.stock(sku)
    checkout = run.start_checkout({sku: 2})
    run.pay(checkout)
    run.operate_and_check("A refund without an extent is refused", 422, checkout, "refunds", restock=True)
    one = {"lines": [{"sku": sku, "quantity": 1}], "reason": "requested_by_customer"}
    run.operate_and_check("One damaged hoodie is refunded", 201, checkout, "refunds", **one)
    run.check(
        "The damaged hoodie does not return to stock",
        Stock(before.on_hand - 2, before.reserved),
        lambda: run.stock(sku),
    )
    run.check("One hoodie is left to ship", 1, lambda: run.order_field(checkout, "pieces_owed"))
    run.operate_and_check("The order is canceled", 200, checkout, "cancel", refund=True)
    run.check_email_says("The customer reads that it is canceled", "order_canceled", "we will not ship it")
    check_refunded(run, checkout, "full", checkout["amount_total"])
    run.check("The other hoodie is back in stock", Stock(before.on_hand - 1, before.reserved), lambda: run.stock(sku))
    run.operate_and_check("The canceled order cannot be shipped", 409, checkout, "shipments", all=True)


def failed_refund(run: ScenarioRun) -> None:
    """Refund a part. The customer's bank sends it back days later, and the operator refunds it again."""
    checkout = run.start_checkout({"BEA-RIB-RUS-OS": 1})
    run.pay(checkout)
    run.operate_and_check("A refund is accepted", 201, checkout, "refunds", amount=1000)
    check_refunded(run, checkout, "partial", 1000)
    run.check_email_says("The customer reads of the refund", "refund_succeeded", f"Refunded so far: {amount(1000)}")
    [refund] = run.order_field(checkout, "refunds")
    run.system.stripe.advance_refund(refund["id"], "failed")
    check_refunded(run, checkout, "none", 0)
    run.check_email_says(
        "The customer reads that the refund failed", "refund_failed", amount(1000), "We will contact you"
    )
    run.operate_and_check("The same sum is refunded again", 201, checkout, "refunds", amount=1000)
    check_refunded(run, checkout, "partial", 1000)


def check_refunded(run: ScenarioRun, checkout: Checkout, status: str, minor: int) -> None:
    """Check that the order and Stripe have refunds of this sum, in minor units."""
    run.check(f"The order has a {status} refund", f"{status}, {amount(minor)}", lambda: _refund(run, checkout))
    run.check("Stripe has refunded the same sum", amount(minor), lambda: run.amount_refunded_at_stripe(checkout))


def _refund(run: ScenarioRun, checkout: Checkout) -> str:
    order = run.order(checkout)
    return f"{order['refund_status']}, {amount(order['amount_refunded'])}"
