"""Disputes: inquiries and chargebacks by the customer's bank, and the shop's evidence.

    inquiry, which moves no money     warning_needs_response ─▶ warning_under_review ─▶ warning_closed
                                                 └── escalates ──┬──────────┘
                                                                 ▼
    chargeback, which takes the money when it opens       needs_response ─▶ under_review ─▶ won | lost
                                                                 ┌── appeal, or the cardholder withdraws ──┘
                                                                 ▼
                                            appeal_needs_response ─▶ appeal_under_review ─▶ won | lost

Source: docs.stripe.com/disputes/how-disputes-work and docs.stripe.com/testing#disputes.
"""

import copy

from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .objects.balance import balance_transaction
from .objects.dispute import DEADLINE_S
from .objects.dispute import dispute as dispute_object
from .store import Object
from .updates import apply_changes

CHARGEBACK_FEE = 2000  # minor units; a chargeback costs the shop this fee, and a win returns it
NEXT_STATUSES = {
    "warning_needs_response": {"warning_under_review", "warning_closed", "needs_response"},
    "warning_under_review": {"warning_closed", "needs_response"},
    "needs_response": {"under_review", "won", "lost"},
    "under_review": {"won", "lost"},
    "warning_closed": set[str](),
    "won": set[str](),
    "lost": {"appeal_needs_response", "won"},  # the shop appeals, or the cardholder withdraws
    "appeal_needs_response": {"appeal_under_review", "won", "lost"},
    "appeal_under_review": {"won", "lost"},
}
CLOSED = ("warning_closed", "won", "lost")
# Test cards whose payments are disputed a little later: (reason, True for an inquiry).
DISPUTED_CARDS = {
    "4000000000000259": ("fraudulent", False),
    "4000000000002685": ("product_not_received", False),
    "4000000000001976": ("product_not_received", True),
}
# Stripe's test values for the evidence's `uncategorized_text`.
EVIDENCE_OUTCOMES = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(
    account: Account,
    charge: Object,
    reason: str = "product_not_received",
    *,
    inquiry: bool = False,
    amount: int | None = None,
) -> Object:
    """Open an inquiry or a chargeback, by default for all that is not refunded.

    A chargeback withdraws the amount at once. A bank can also claim what was refunded before: support.stripe.com,
    "Dispute for full charge amount after a partial refund was issued".

    Raise `StripeError` if the charge has not succeeded, is disputed already, is refunded in full, or is smaller than
    the amount.
    """
    left = charge["amount"] - charge["amount_refunded"]
    is_disputable = charge["status"] == "succeeded" and not charge["disputed"] and left > 0
    if not is_disputable or not 0 < (amount or left) <= charge["amount"]:
        raise StripeError(f"The charge {charge['id']} cannot be disputed.", param="charge")
    dispute = account.store.add(dispute_object(account.now(), charge, amount or left, reason, inquiry=inquiry))
    charge |= {"disputed": True, "dispute": dispute["id"]}
    if inquiry:
        account.emit("charge.dispute.created", dispute)
    else:
        _withdraw(account, dispute)
        account.emit("charge.dispute.created", dispute)
        account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def advance(
    account: Account,
    dispute: Object,
    status: str,
    cause: Cause = AUTOMATIC,
    *,
    reinstated: int | None = None,
    closed_first: bool = False,
) -> Object:
    """Move a dispute to its next status. A chargeback takes the money, and a win or `reinstated` returns it.

    `reinstated` is the part that the bank returns of a lost dispute, in minor units. With `closed_first`, the dispute
    is closed before the money returns, as can happen at Stripe. An appeal has a new deadline. Raise `StripeError` if
    this status cannot follow the current one.
    """
    if status not in NEXT_STATUSES[dispute["status"]]:
        raise StripeError(f"The dispute {dispute['id']} is {dispute['status']}. It cannot become {status}.")
    before: Object = {"status": dispute["status"]}
    dispute["status"] = status
    if status == "needs_response":
        before |= {"balance_transactions": [], "is_charge_refundable": True}
        dispute["is_charge_refundable"] = False
        _withdraw(account, dispute)
        account.emit("charge.dispute.updated", dispute, before, cause)
        account.emit("charge.dispute.funds_withdrawn", dispute, cause=cause)
    elif status not in CLOSED:
        if status == "appeal_needs_response":
            before["evidence_details"] = {"due_by": dispute["evidence_details"]["due_by"]}
            dispute["evidence_details"]["due_by"] = account.now() + DEADLINE_S
        account.emit("charge.dispute.updated", dispute, before, cause)
    else:
        returned = _held(dispute) if status == "won" else reinstated or 0
        if returned and not closed_first:
            _reinstate(account, dispute, returned)
        account.emit("charge.dispute.closed", dispute, before, cause)
        if returned and closed_first:
            account.schedule(account.config.followup_delay, lambda: _reinstate(account, dispute, returned))
    return dispute


def update(account: Account, dispute: Object, params: Object, cause: Cause) -> Object:
    """Change a dispute's metadata or evidence. Evidence goes to the bank unless `submit` is false.

    Raise `StripeError` if the dispute is closed.
    """
    if dispute["status"] in CLOSED:
        raise StripeError("This dispute is already closed.", param="dispute")
    evidence, submit = params.pop("evidence", None), params.pop("submit", True)
    before = apply_changes(dispute, {name: value for name, value in params.items() if name != "expand"})
    if evidence:
        before["evidence"] = {name: dispute["evidence"][name] for name in evidence}
        before["evidence_details"] = {"has_evidence": dispute["evidence_details"]["has_evidence"]}
        dispute["evidence"] |= evidence
        dispute["evidence_details"]["has_evidence"] = True
    if evidence and submit:
        before["evidence_details"]["submission_count"] = dispute["evidence_details"]["submission_count"]
        dispute["evidence_details"]["submission_count"] += 1
        before |= _start_review(account, dispute)
    if before:
        account.emit("charge.dispute.updated", dispute, copy.deepcopy(before), cause)
    return dispute


def _start_review(account: Account, dispute: Object) -> Object:
    """Send a dispute to review, and schedule the decision if its evidence is one of Stripe's test values.

    Return the status from before, or nothing if the status is the same.
    """
    before = {"status": dispute["status"]}
    inquiry = dispute["status"].startswith("warning")
    prefix = next((prefix for prefix in ("warning_", "appeal_") if dispute["status"].startswith(prefix)), "")
    dispute["status"] = f"{prefix}under_review"
    if decision := EVIDENCE_OUTCOMES.get(dispute["evidence"]["uncategorized_text"] or ""):
        ending = "warning_closed" if inquiry else decision
        account.schedule(account.config.followup_delay, lambda: _decide(account, dispute, ending))
    return before if before["status"] != dispute["status"] else {}


def _decide(account: Account, dispute: Object, ending: str) -> None:
    if ending in NEXT_STATUSES[dispute["status"]]:
        advance(account, dispute, ending)


def close(account: Account, dispute: Object, cause: Cause = AUTOMATIC) -> Object:
    """Accept a dispute for the shop: a chargeback is lost, an inquiry ends without a movement of money."""
    return advance(account, dispute, "warning_closed" if dispute["status"].startswith("warning") else "lost", cause)


def close_inquiry(account: Account, charge: Object) -> None:
    """Close the inquiry about a charge, if it has one. Stripe does this after a full refund."""
    dispute = account.store.find(charge["dispute"] or "")
    if dispute and "warning_closed" in NEXT_STATUSES[dispute["status"]]:
        advance(account, dispute, "warning_closed")


def has_open_chargeback(account: Account, charge: Object) -> bool:
    """Return True while a chargeback of the charge waits for its decision. An inquiry is not a chargeback."""
    dispute = account.store.find(charge["dispute"] or "")
    return dispute is not None and dispute["status"] not in CLOSED and not dispute["is_charge_refundable"]


def amount_held(account: Account, charge: Object) -> int:
    """Return what the bank holds of a charge, in minor units."""
    dispute = account.store.find(charge["dispute"] or "")
    return _held(dispute) if dispute else 0


def _held(dispute: Object) -> int:
    """Return what the bank holds of a dispute, in minor units."""
    return -sum(int(moved["amount"]) for moved in dispute["balance_transactions"])


def _reinstate(account: Account, dispute: Object, amount: int) -> None:
    """Return an amount to the shop, and the fee if the dispute is won."""
    fee = -CHARGEBACK_FEE if dispute["status"] == "won" else 0
    _book(account, dispute, amount, fee, f"Chargeback reversal for {dispute['charge']}")
    account.emit("charge.dispute.funds_reinstated", dispute)


def _withdraw(account: Account, dispute: Object) -> None:
    _book(account, dispute, -dispute["amount"], CHARGEBACK_FEE, f"Chargeback withdrawal for {dispute['charge']}")
    dispute["balance_transaction"] = dispute["balance_transactions"][0]["id"]


def _book(account: Account, dispute: Object, amount: int, fee: int, description: str) -> None:
    about = {"description": description, "reporting_category": "dispute", "type": "adjustment"}
    movement = balance_transaction(account.now(), dispute, amount, fee, fee_description="Dispute fee", **about)
    dispute["balance_transactions"].append(account.store.add(movement))
