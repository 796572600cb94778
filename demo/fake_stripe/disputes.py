"""Disputes: opened by the customer's bank, closed as won or lost."""

from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .shapes.aftermath import dispute as dispute_shape
from .shapes.balance import balance_transaction
from .state import Object

FEE = 2000  # charged to the shop on top of the disputed amount


def open_dispute(account: Account, charge: Object, reason: str = "product_not_received") -> Object:
    if charge["disputed"] or charge["status"] != "succeeded":
        raise StripeError(f"The charge {charge['id']} cannot be disputed.", param="charge")
    amount = charge["amount"] - charge["amount_refunded"]
    dispute = account.store.add(dispute_shape(account.now(), charge, amount, reason))
    _book(account, dispute, -amount, FEE, f"Chargeback withdrawal for {charge['id']}")
    dispute["balance_transaction"] = dispute["balance_transactions"][0]["id"]
    charge |= {"disputed": True, "dispute": dispute["id"]}
    account.emit("charge.dispute.created", dispute)
    account.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(account: Account, dispute: Object, status: str, cause: Cause = AUTOMATIC) -> Object:
    """`won` or `lost`: by the bank's decision, or because the shop accepts the loss."""
    if dispute["status"] in ("won", "lost"):
        raise StripeError(f"The dispute {dispute['id']} is {dispute['status']} already.")
    before = {"status": dispute["status"]}
    dispute["status"] = status
    if status == "won":
        _book(account, dispute, dispute["amount"], -FEE, f"Chargeback reversal for {dispute['charge']}")
        account.emit("charge.dispute.funds_reinstated", dispute)
    account.emit("charge.dispute.closed", dispute, before, cause)
    return dispute


def _book(account: Account, dispute: Object, amount: int, fee: int, description: str) -> None:
    about = {"description": description, "reporting_category": "dispute", "type": "adjustment"}
    movement = balance_transaction(account.now(), dispute, amount, fee, fee_description="Dispute fee", **about)
    dispute["balance_transactions"].append(account.store.add(movement))
