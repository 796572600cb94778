"""Scenarios of disputes: one lost, one won, one lost in part and then appealed."""

from demo.scenarios.refunds import check_refunded
from demo.scenarios.run import Checkout, ScenarioRun, amount


def lost(run: ScenarioRun) -> None:
    """Lose a chargeback after a partial refund."""
    checkout = run.start_checkout({"HOD-HVY-FOR-S": 1})
    run.pay(checkout)
    run.system.stripe.refund(checkout["session_id"], amount=1000)  # in Stripe's dashboard
    check_refunded(run, checkout, "partial", 1000)
    dispute = run.system.stripe.open_dispute(checkout["session_id"], reason="product_not_received")
    rest = amount(checkout["amount_total"] - 1000)
    run.check("The customer disputes the rest", rest, lambda: amount(dispute["amount"]))
    run.check("The order has an open dispute", "open", lambda: run.order_field(checkout, "dispute_status"))
    run.check("The bank has taken the disputed amount", [f"{rest} taken"], lambda: _movements(run, checkout))
    run.system.stripe.advance_dispute(checkout["session_id"], "lost")
    run.check("The dispute is lost", "lost", lambda: run.order_field(checkout, "dispute_status"))
    emails = ["staff_dispute_opened", "staff_dispute_closed"]
    run.check("Staff get an e-mail for each step", emails, lambda: run.staff_emails(checkout))


def won(run: ScenarioRun) -> None:
    """Win a chargeback with evidence, which returns the money."""
    checkout = run.start_checkout({"JNS-STR-IND-34": 1})
    run.pay(checkout, "dispute")  # by Stripe's test card for disputes
    run.check("The order has an open dispute", "open", lambda: run.order_field(checkout, "dispute_status"))
    run.system.stripe.advance_dispute(checkout["session_id"], "under_review")
    run.check("The bank reviews the evidence", ["under_review"], lambda: _statuses(run, checkout))
    run.system.stripe.advance_dispute(checkout["session_id"], "won")
    run.check("The dispute is won", "won", lambda: run.order_field(checkout, "dispute_status"))
    total = amount(checkout["amount_total"])
    run.check("The bank has returned the money", [f"{total} returned"], lambda: _movements(run, checkout))
    emails = ["staff_dispute_opened", "staff_dispute_updated", "staff_dispute_closed"]
    run.check("Staff get an e-mail for each step", emails, lambda: run.staff_emails(checkout))


def appealed(run: ScenarioRun) -> None:
    """Lose a chargeback, get a part of it back, appeal, and win."""
    checkout = run.start_checkout({"HOD-HVY-FOR-M": 1})
    run.pay(checkout)
    run.system.stripe.open_dispute(checkout["session_id"], reason="product_not_received")
    run.check("The order has an open dispute", "open", lambda: run.order_field(checkout, "dispute_status"))
    total = checkout["amount_total"]
    run.system.stripe.advance_dispute(checkout["session_id"], "lost", reinstated=1000)
    run.check("The dispute is lost", "lost", lambda: run.order_field(checkout, "dispute_status"))
    run.check("The bank holds the rest", [amount(total - 1000)], lambda: _held(run, checkout))
    before = _deadlines(run, checkout)
    run.system.stripe.advance_dispute(checkout["session_id"], "appeal_needs_response")
    run.check("The appeal opens the dispute again", "open", lambda: run.order_field(checkout, "dispute_status"))
    run.check("Its deadline is not before the first one", True, lambda: _deadlines(run, checkout) >= before)
    run.system.stripe.advance_dispute(checkout["session_id"], "appeal_under_review")
    run.check("The bank reviews the appeal", ["appeal_under_review"], lambda: _statuses(run, checkout))
    run.system.stripe.advance_dispute(checkout["session_id"], "won")
    run.check("The dispute is won", "won", lambda: run.order_field(checkout, "dispute_status"))
    run.check("The bank holds nothing", [amount(0)], lambda: _held(run, checkout))
    decisions = lambda: run.staff_emails(checkout).count("staff_dispute_closed")  # noqa: E731 - a look
    run.check("Staff get an e-mail for each decision", 2, decisions)


def _held(run: ScenarioRun, checkout: Checkout) -> list[str]:
    return [amount(dispute["amount_held"]) for dispute in run.order_field(checkout, "disputes")]


def _deadlines(run: ScenarioRun, checkout: Checkout) -> list[str]:
    return [dispute["evidence_due_by"] for dispute in run.order_field(checkout, "disputes")]


def _statuses(run: ScenarioRun, checkout: Checkout) -> list[str]:
    return [dispute["status"] for dispute in run.order_field(checkout, "disputes")]


def _movements(run: ScenarioRun, checkout: Checkout) -> list[str]:
    """Return each dispute's amount, with `taken`, `returned` or `not moved` for what the bank has done with it."""
    movements = []
    for dispute in run.order_field(checkout, "disputes"):
        taken, returned = dispute["funds_withdrawn_at"], dispute["funds_reinstated_at"]
        state = "returned" if taken and returned else "taken" if taken else "not moved"
        movements.append(f"{amount(dispute['amount'])} {state}")
    return movements
