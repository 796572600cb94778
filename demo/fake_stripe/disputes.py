"""Disputes: inquiries and chargebacks by the customer's bank, the shop's evidence, won or lost.

Source: docs.stripe.com/disputes/how-disputes-work and docs.stripe.com/testing#disputes.
"""

import copy

from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .shapes.aftermath import dispute as dispute_shape
from .shapes.balance import balance_transaction
from .state import Object
from .updates import change

FEE = 2000  # charged to the shop on top of the disputed amount; given back when it wins
NEXT = {
    "warning_needs_response": {"warning_under_review", "warning_closed", "needs_response"},
    "warning_under_review": {"warning_closed", "needs_response"},
    "needs_response": {"under_review", "won", "lost"},
    "under_review": {"won", "lost"},
    "warning_closed": set[str](),
    "won": set[str](),
    "lost": set[str](),
}
# Test cards whose payments are disputed a little later: (reason, is it an inquiry).
CARDS = {
    "4000000000000259": ("fraudulent", False),
    "4000000000002685": ("product_not_received", False),
    "4000000000001976": ("product_not_received", True),
}
# Stripe's magic words for the evidence's `uncategorized_text`.
DECIDING = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(
    account: Account,
    charge: Object,
    reason: str = "product_not_received",
    *,
    inquiry: bool = False,
    amount: int | None = None,
) -> Object:
    """An inquiry moves no money; a chargeback takes it at once. The amount is what is left of the charge."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["disputed"] or charge["status"] != "succeeded" or not 0 < (amount or left) <= left:
        raise StripeError(f"The charge {charge['id']} cannot be disputed.", param="charge")
    dispute = account.store.add(dispute_shape(account.now(), charge, amount or left, reason, inquiry=inquiry))
    charge |= {"disputed": True, "dispute": dispute["id"]}
    if inquiry:
        account.emit("charge.dispute.created", dispute)
    else:
        _withdraw(account, dispute)
        account.emit("charge.dispute.created", dispute)
        account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def advance(account: Account, dispute: Object, status: str, cause: Cause = AUTOMATIC) -> Object:
    """What the bank or the shop does next; money moves when an inquiry becomes a chargeback and when the shop wins."""
    if status not in NEXT[dispute["status"]]:
        raise StripeError(f"The dispute {dispute['id']} is {dispute['status']}: it cannot become {status}.")
    before: Object = {"status": dispute["status"]}
    dispute["status"] = status
    if status == "needs_response":
        before |= {"balance_transactions": [], "is_charge_refundable": True}
        dispute["is_charge_refundable"] = False
        _withdraw(account, dispute)
        account.emit("charge.dispute.updated", dispute, before, cause)
        account.emit("charge.dispute.funds_withdrawn", dispute, cause=cause)
    elif NEXT[status]:
        account.emit("charge.dispute.updated", dispute, before, cause)
    else:
        if status == "won":
            _book(account, dispute, dispute["amount"], -FEE, f"Chargeback reversal for {dispute['charge']}")
            account.emit("charge.dispute.funds_reinstated", dispute)
        account.emit("charge.dispute.closed", dispute, before, cause)
    return dispute


def update(account: Account, dispute: Object, params: Object, cause: Cause) -> Object:
    """Metadata and evidence; evidence goes to the bank unless `submit` is false."""
    if not NEXT[dispute["status"]]:
        raise StripeError("This dispute is already closed.", param="dispute")
    evidence, submit = params.pop("evidence", None), params.pop("submit", True)
    before = change(dispute, {name: value for name, value in params.items() if name != "expand"})
    if evidence:
        before["evidence"] = {name: dispute["evidence"][name] for name in evidence}
        before["evidence_details"] = {"has_evidence": dispute["evidence_details"]["has_evidence"]}
        dispute["evidence"] |= evidence
        dispute["evidence_details"]["has_evidence"] = True
    if evidence and submit:
        before["evidence_details"]["submission_count"] = dispute["evidence_details"]["submission_count"]
        dispute["evidence_details"]["submission_count"] += 1
        before |= _review(account, dispute)
    if before:
        account.emit("charge.dispute.updated", dispute, copy.deepcopy(before), cause)
    return dispute


def _review(account: Account, dispute: Object) -> Object:
    before = {"status": dispute["status"]}
    inquiry = dispute["status"].startswith("warning")
    dispute["status"] = "warning_under_review" if inquiry else "under_review"
    if decision := DECIDING.get(dispute["evidence"]["uncategorized_text"] or ""):
        ending = "warning_closed" if inquiry else decision
        account.later(account.config.followup_delay, lambda: _decide(account, dispute, ending))
    return before if before["status"] != dispute["status"] else {}


def _decide(account: Account, dispute: Object, ending: str) -> None:
    if ending in NEXT[dispute["status"]]:
        advance(account, dispute, ending)


def close(account: Account, dispute: Object, cause: Cause = AUTOMATIC) -> Object:
    """The shop gives in: a chargeback is lost, an inquiry ends without money having moved."""
    return advance(account, dispute, "warning_closed" if dispute["status"].startswith("warning") else "lost", cause)


def close_inquiry(account: Account, charge: Object) -> None:
    """The whole refund of the charge answers an inquiry."""
    dispute = account.store.find(charge["dispute"] or "")
    if dispute and "warning_closed" in NEXT[dispute["status"]]:
        advance(account, dispute, "warning_closed")


def is_refundable(account: Account, charge: Object) -> bool:
    """Not while or after the bank has taken the money; an inquiry leaves it, a dispute won has brought it back."""
    dispute = account.store.find(charge["dispute"] or "")
    return dispute is None or dispute["status"] == "won" or bool(dispute["is_charge_refundable"])


def _withdraw(account: Account, dispute: Object) -> None:
    _book(account, dispute, -dispute["amount"], FEE, f"Chargeback withdrawal for {dispute['charge']}")
    dispute["balance_transaction"] = dispute["balance_transactions"][0]["id"]


def _book(account: Account, dispute: Object, amount: int, fee: int, description: str) -> None:
    about = {"description": description, "reporting_category": "dispute", "type": "adjustment"}
    movement = balance_transaction(account.now(), dispute, amount, fee, fee_description="Dispute fee", **about)
    dispute["balance_transactions"].append(account.store.add(movement))
