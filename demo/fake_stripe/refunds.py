"""Refunds: asked for through the API or made by hand in the dashboard, settled, failed."""

import copy

from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .money import display
from .shapes.aftermath import refund as refund_shape
from .shapes.balance import balance_transaction
from .state import Object, new_id

PENDING = {"requires_action", "pending"}


def create_refund(account: Account, params: Object, cause: Cause) -> Object:
    charge = _charge_to_refund(account, params)
    amount = _refundable_amount(charge, params.get("amount"))
    refund = account.store.add(refund_shape(account.now(), charge, amount, params))
    refund["balance_transaction"] = _book(account, refund, -amount)
    before = {"amount_refunded": charge["amount_refunded"], "receipt_url": charge["receipt_url"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    charge["receipt_url"] = f"https://pay.stripe.com/receipts/payment/{new_id(charge['id'], 6)}"
    account.emit("refund.created", refund, cause=cause)
    account.emit("charge.refunded", charge, before | ({"refunded": False} if charge["refunded"] else {}), cause)
    by_card = refund["destination_details"]["type"] == "card"
    delay = account.config.followup_delay if by_card else account.config.sepa_delay
    account.later(delay, lambda: _arrive(account, refund))
    return refund


def _charge_to_refund(account: Account, params: Object) -> Object:
    if ("charge" in params) == ("payment_intent" in params):
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise StripeError(message, code="parameter_missing", param="payment_intent")
    if "charge" in params:
        charge = account.store.get("charge", params["charge"], "charge")
    else:
        intent = account.store.get("payment_intent", params["payment_intent"], "payment_intent")
        charge = account.store.find(intent["latest_charge"] or "") or {}
    if charge.get("status") != "succeeded":
        raise StripeError("There is no successful charge to refund.", param="payment_intent")
    if charge["disputed"]:
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise StripeError(message, code="charge_disputed", param="charge")
    return charge


def _refundable_amount(charge: Object, asked: int | None) -> int:
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeError(message, code="charge_already_refunded", param="charge")
    if (asked or 0) > left:
        wanted, unrefunded = (display(amount, charge["currency"]) for amount in (asked or 0, left))
        message = f"Refund amount ({wanted}) is greater than unrefunded amount on charge ({unrefunded})"
        raise StripeError(message, param="amount")
    return asked or left


def _book(account: Account, refund: Object, amount: int) -> str:
    about = {"description": "REFUND FOR CHARGE", "reporting_category": "refund", "type": "refund"}
    movement = balance_transaction(account.now(), refund, amount, 0, **about)
    return str(account.store.add(movement)["id"])


def _arrive(account: Account, refund: Object) -> None:
    """The bank's reference becomes known; a refund that was pending has succeeded."""
    if refund["status"] == "failed":
        return
    before: Object = {}
    if refund["status"] in PENDING:
        before["status"] = refund["status"]
        refund["status"] = "succeeded"
    if card := refund["destination_details"].get("card"):
        before["destination_details"] = {"card": {"reference": None, "reference_status": "pending"}}
        card |= {"reference": "74567890123456789012345", "reference_status": "available"}
    _emit_update(account, refund, before)


def _emit_update(account: Account, refund: Object, before: Object, cause: Cause = AUTOMATIC) -> None:
    account.emit("refund.updated", refund, before, cause)
    account.emit("charge.refund.updated", refund, copy.deepcopy(before), cause)


def fail(account: Account, refund: Object, reason: str) -> Object:
    """The bank sends the money back: also a succeeded refund can still fail."""
    if refund["status"] in ("failed", "canceled"):
        raise StripeError(f"The refund {refund['id']} is {refund['status']} already.")
    before = {"failure_balance_transaction": None, "failure_reason": None, "status": refund["status"]}
    refund |= {
        "failure_balance_transaction": _book(account, refund, refund["amount"]),
        "failure_reason": reason,
        "status": "failed",
    }
    charge = account.store.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    account.emit("refund.failed", refund, before)
    _emit_update(account, refund, before)
    return refund
