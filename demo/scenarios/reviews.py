"""Scenarios of reviews: an order paid after its pieces are sold, one paid twice, and one that Radar holds."""

from demo.scenarios.run import ScenarioRun, Stock, amount, new_key


def oversold(run: ScenarioRun) -> None:
    """Pay a recovered session whose pieces another customer has bought. An operator refunds it."""
    sku = "COA-WOL-CAM-L"
    pieces = run.stock(sku).on_hand
    late = run.start_checkout({sku: pieces})
    run.system.stripe.expire(late["session_id"])
    run.check("The coats are available again", Stock(pieces, 0), lambda: run.stock(sku))
    other = run.start_checkout({sku: pieces})
    run.pay(other, effect="Another customer pays for all coats")
    run.check("All coats are sold", Stock(0, 0), lambda: run.stock(sku))
    recovered = run.system.stripe.recover(late["session_id"])
    run.system.stripe.pay(recovered["id"], "card", run.email)
    run.check("The late order is paid too", "paid", lambda: run.status(late))
    run.check("The late order needs a review", "oversold", lambda: _open_review(run, late))
    run.operate_and_check("The late order cannot be shipped", 409, late, "shipments", all=True)
    run.check_email_says(
        "The customer reads that the order is checked", "order_in_review", "we have to check something"
    )
    run.check("Staff get an e-mail about the review", ["staff_review_opened"], lambda: run.staff_emails(late))
    decision = {"decision": "refund", "note": "sold out"}
    run.operate_and_check("The operator's refund is accepted", 200, late, "review", **decision)
    run.check("The payment is fully refunded", "full", lambda: run.order_field(late, "refund_status"))
    run.check("The review is resolved", "none", lambda: _open_review(run, late))
    run.check_email_says("The customer learns why", "refund_succeeded", "was sold out", "everything back")
    run.check(
        "The customer gets no confirmation of the order", False, lambda: "order_confirmed" in run.emails_about(late)
    )
    run.check("The stock does not change", Stock(0, 0), lambda: run.stock(sku))
    restock = {"adjust": pieces, "reason": "a new delivery"}
    run.system.operate("POST", "inventory", f"/stock/{sku}/movements", restock, **new_key()).raise_for_status()


def fraud_review(run: ScenarioRun) -> None:
    """Let Radar review a payment, and approve it in Stripe's dashboard. Then let the bank warn of fraud."""
    checkout = run.start_checkout({"SOC-MER-SLA-3640": 1})
    run.pay(checkout)
    run.system.stripe.open_review(checkout["session_id"])
    run.check("The order is held", "radar-review", lambda: _open_review(run, checkout))
    run.operate_and_check("The order cannot be shipped", 409, checkout, "shipments", all=True)
    run.system.stripe.close_review(checkout["session_id"], "approved")
    run.check("The approval releases the order", "none", lambda: _open_review(run, checkout))
    run.system.stripe.warn(checkout["session_id"])
    run.check("A warning of the bank holds the order again", "early-fraud-warning", lambda: _open_review(run, checkout))
    decision = {"decision": "refund", "note": "fraud"}
    run.operate_and_check("The operator's refund is accepted", 200, checkout, "review", **decision)
    run.check("The payment is fully refunded", "full", lambda: run.order_field(checkout, "refund_status"))


def paid_twice(run: ScenarioRun) -> None:
    """Pay an order in two recovered sessions. An operator refunds the second payment."""
    checkout = run.start_checkout({"SHT-OXF-BLU-S": 1})
    run.system.stripe.expire(checkout["session_id"])
    run.check("The order expires", "expired", lambda: run.status(checkout))
    first, second = (run.system.stripe.recover(checkout["session_id"]) for _ in range(2))
    run.system.stripe.pay(first["id"], "card", run.email)
    run.check("The order is paid", "paid", lambda: run.status(checkout))
    total = amount(checkout["amount_total"])
    run.check_email_says("The customer gets the confirmation", "order_confirmed", f"payment of {total}")
    run.system.stripe.pay(second["id"], "card", run.email)
    run.check("The order needs a review", "duplicate-payment", lambda: _open_review(run, checkout))
    both = amount(2 * checkout["amount_total"])
    run.check("The order is paid twice", both, lambda: amount(run.order_field(checkout, "amount_paid")))
    run.operate_and_check("The operator's refund is accepted", 200, checkout, "review", decision="refund")
    run.check("The order has a partial refund", "partial", lambda: run.order_field(checkout, "refund_status"))
    words = (
        f"refunded {total} of what you paid",
        f"Refunded so far: {total}",
        f"You paid: {both}",
        "paid more than once",
    )
    run.check_email_says("The customer reads both sums", "refund_succeeded", *words)
    run.operate_and_check("The order itself can ship", 201, checkout, "shipments", all=True)


def _open_review(run: ScenarioRun, checkout: dict[str, object]) -> str:
    order = run.order(checkout)
    return str(order["review_reason"]) if order["needs_review"] else "none"
