"""Scenarios after the payment: parcels, refunds, disputes, and an order that an operator has to look at."""

from typing import Any

from demo.playing import Play


def shipped(play: Play) -> None:
    """Goes out in two parcels."""
    bought = play.buy({"SOC-MER-SLA-4145": 2, "BEA-RIB-RUS-OS": 1})
    play.pay(bought)
    first = {"carrier": "DHL", "tracking": "JD014600003", "lines": [{"sku": "SOC-MER-SLA-4145", "quantity": 2}]}
    play.check("first parcel", 201, _once(play, bought, "shipments", **first))
    play.check("order", "partial", lambda: play.fact(bought, "fulfillment_status"))
    play.check("the rest", 201, _once(play, bought, "shipments", carrier="DHL"))
    play.check("order", "fulfilled", lambda: play.fact(bought, "fulfillment_status"))
    play.check("nothing left to ship", 409, _once(play, bought, "shipments"))
    play.check("e-mails", ["order_confirmed", "order_shipped", "order_shipped"], play.mails)


def refund(play: Play) -> None:
    """Sends one piece back, then all the rest."""
    sku = "TEE-ORG-WHT-S"
    before = play.stock(sku)
    bought = play.buy({sku: 2})
    play.pay(bought)
    play.check("stock", (before[0] - 2, before[1]), lambda: play.stock(sku))
    one = {"lines": [{"sku": sku, "quantity": 1, "restock": True}], "reason": "requested_by_customer"}
    play.check("refund of one piece", 201, _once(play, bought, "refunds", **one))
    _check_refunded(play, bought, "partial", 1999)
    play.check("stock", (before[0] - 1, before[1]), lambda: play.stock(sku))
    play.check("too much", 422, _once(play, bought, "refunds", amount=bought["amount_total"]))
    play.check("refund of the rest", 201, _once(play, bought, "refunds", restock=True))
    _check_refunded(play, bought, "full", bought["amount_total"])
    play.check("stock", before, lambda: play.stock(sku))
    play.check("e-mails", ["order_confirmed", "refund_succeeded", "refund_succeeded"], play.mails)


def dispute_lost(play: Play) -> None:
    """The bank takes the money back, after a partial refund."""
    bought = play.buy({"HOD-HVY-FOR-S": 1})
    play.pay(bought)
    play.system.stripe.refund(bought["session_id"], amount=1000)  # in Stripe's dashboard
    _check_refunded(play, bought, "partial", 1000)
    disputed = play.system.stripe.dispute(bought["session_id"], reason="product_not_received")
    play.check("disputed at Stripe", bought["amount_total"] - 1000, lambda: disputed["amount"])
    play.check("dispute", "open", lambda: play.fact(bought, "dispute_status"))
    play.check("money withdrawn", [(disputed["amount"], True)], lambda: _withdrawn(play, bought))
    play.system.stripe.dispute(bought["session_id"], "lost")
    play.check("dispute", "lost", lambda: play.fact(bought, "dispute_status"))
    play.check("staff", ["staff_dispute_opened", "staff_dispute_closed"], lambda: play.staff_mails(bought))


def dispute_won(play: Play) -> None:
    """The shop answers with evidence; the money comes back."""
    bought = play.buy({"JNS-STR-IND-34": 1})
    play.pay(bought, "dispute")  # the card says so
    play.check("dispute", "open", lambda: play.fact(bought, "dispute_status"))
    play.system.stripe.dispute(bought["session_id"], "under_review")
    play.check("evidence", ["under_review"], lambda: [one["status"] for one in play.fact(bought, "disputes")])
    play.system.stripe.dispute(bought["session_id"], "won")
    play.check("dispute", "won", lambda: play.fact(bought, "dispute_status"))
    play.check("money withdrawn", [(bought["amount_total"], False)], lambda: _withdrawn(play, bought))
    told = ["staff_dispute_opened", "staff_dispute_updated", "staff_dispute_closed"]
    play.check("staff", told, lambda: play.staff_mails(bought))


def review(play: Play) -> None:
    """Comes back to an expired cart and pays for what somebody else has bought; the operator refunds."""
    sku = "COA-WOL-CAM-L"
    everything = play.stock(sku)[0]
    late = play.buy({sku: everything})
    play.system.stripe.expire(late["session_id"])
    play.check("stock free again", (everything, 0), lambda: play.stock(sku))
    faster = play.buy({sku: everything})
    play.pay(faster)
    play.check("stock", (0, 0), lambda: play.stock(sku))
    recovered = play.system.stripe.recover(late["session_id"])
    play.system.stripe.pay(recovered["id"], "card", play.email)
    play.check("order", "paid", lambda: play.status(late))
    play.check("review", (True, "oversold"), lambda: _review(play, late))
    play.check("not shipped", 409, _once(play, late, "shipments"))
    play.check("staff", ["staff_review_opened"], lambda: play.staff_mails(late))
    play.check("operator refunds", 200, _once(play, late, "review", decision="refund", note="sold out"))
    play.check("refund", "full", lambda: play.fact(late, "refund_status"))
    play.check("review", False, lambda: play.fact(late, "needs_review"))
    play.check("stock", (0, 0), lambda: play.stock(sku))
    restocked = {"adjust": everything, "reason": "a new delivery"}
    play.system.operate("POST", "inventory", f"/stock/{sku}/movements", restocked).raise_for_status()


def _once(play: Play, bought: dict[str, Any], act: str, **body: Any) -> Any:
    """The status that an operator's act is answered with; it is done once, however often that is looked at."""
    answer = play.operate(bought, act, **body)
    return lambda: answer.status_code


def _check_refunded(play: Play, bought: dict[str, Any], status: str, amount: int) -> None:
    play.check("refund", (status, amount), lambda: _refund(play, bought))
    play.check("refunded at Stripe", amount, lambda: play.refunded_at_stripe(bought))


def _refund(play: Play, bought: dict[str, Any]) -> tuple[str, int]:
    order = play.order(bought)
    return order["refund_status"], order["amount_refunded"]


def _review(play: Play, bought: dict[str, Any]) -> tuple[bool, str]:
    order = play.order(bought)
    return order["needs_review"], order["review_reason"]


def _withdrawn(play: Play, bought: dict[str, Any]) -> list[tuple[int, bool]]:
    """(amount, does the bank have it now) of each dispute."""
    disputes = play.order(bought)["disputes"]
    return [(one["amount"], bool(one["funds_withdrawn_at"] and not one["funds_reinstated_at"])) for one in disputes]
