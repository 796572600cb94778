"""Scenario of a review: an order that is paid after its pieces are sold."""

from demo.scenarios.run import ScenarioRun, Stock


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
    run.check("It needs a review", "oversold", lambda: _open_review(run, late))
    run.operate_and_check("It cannot be shipped", 409, late, "shipments", all=True)
    run.check("Staff get an e-mail about the review", ["staff_review_opened"], lambda: run.staff_emails(late))
    decision = {"decision": "refund", "note": "sold out"}
    run.operate_and_check("The operator's refund is accepted", 200, late, "review", **decision)
    run.check("The payment is fully refunded", "full", lambda: run.order_field(late, "refund_status"))
    run.check("The review is resolved", "none", lambda: _open_review(run, late))
    run.check("The stock does not change", Stock(0, 0), lambda: run.stock(sku))
    restock = {"adjust": pieces, "reason": "a new delivery"}
    run.system.operate("POST", "inventory", f"/stock/{sku}/movements", restock).raise_for_status()


def _open_review(run: ScenarioRun, checkout: dict[str, object]) -> str:
    order = run.order(checkout)
    return str(order["review_reason"]) if order["needs_review"] else "none"
