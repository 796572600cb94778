"""Refunds: asked for through the API or made by hand in the dashboard, settled, failed, canceled."""

import copy

from . import disputes
from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .money import display
from .shapes.aftermath import instructions
from .shapes.aftermath import refund as refund_shape
from .shapes.balance import balance_transaction
from .state import Object, new_id
from .totals import refuse_odd_amount

# What a refund may become; also a succeeded one can still fail.
NEXT = {
    "requires_action": {"pending", "succeeded", "failed", "canceled"},
    "pending": {"succeeded", "failed", "requires_action"},
    "succeeded": {"failed"},
    "failed": set[str](),
    "canceled": set[str](),
}
# Stripe's test cards for refunds (docs.stripe.com/testing#refunds), by their last digits.
SLOW_CARD, FAILING_CARD = "4000000000007726", "4000000000005126"


def begin_next_as(account: Account, status: str) -> None:
    """The next refund begins like this, whatever the way of payment; several calls queue up."""
    if status not in ("succeeded", "pending", "requires_action"):
        raise StripeError(f"No refund begins as {status}.", param="status")
    account.refund_starts.append(status)


def create_refund(account: Account, params: Object, cause: Cause) -> Object:
    charge = _charge_to_refund(account, params)
    amount = _refundable_amount(charge, params.get("amount"))
    refund = account.store.add(refund_shape(account.now(), charge, amount, params, _start(account, charge)))
    if refund["status"] == "requires_action":
        refund["next_action"] = instructions(account.now(), charge["billing_details"]["email"])
    refund["balance_transaction"] = _book(account, refund, -amount)
    before = {"amount_refunded": charge["amount_refunded"], "receipt_url": charge["receipt_url"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    charge["receipt_url"] = f"https://pay.stripe.com/receipts/payment/{new_id(charge['id'], 6)}"
    account.emit("refund.created", refund, cause=cause)
    account.emit("charge.refunded", charge, before | ({"refunded": False} if charge["refunded"] else {}), cause)
    if charge["refunded"]:
        disputes.close_inquiry(account, charge)
    _follow_up(account, refund, charge)
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
    if charge.get("status") != "succeeded" or not charge["captured"]:
        raise StripeError("There is no successful charge to refund.", param="payment_intent")
    if not disputes.is_refundable(account, charge):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise StripeError(message, code="charge_disputed", param="charge")
    return charge


def _refundable_amount(charge: Object, asked: int | None) -> int:
    """Pending refunds count too; failed and canceled ones do not."""
    left = int(charge["amount"] - charge["amount_refunded"])
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeError(message, code="charge_already_refunded", param="charge")
    if asked is None:
        return left
    refuse_odd_amount(asked, charge["currency"], "amount")
    if asked > left:  # Stripe gives this error no code: its message is all there is
        wanted, unrefunded = (display(amount, charge["currency"]) for amount in (asked, left))
        what = "unrefunded amount on charge" if charge["amount_refunded"] else "charge amount"
        raise StripeError(f"Refund amount ({wanted}) is greater than {what} ({unrefunded})", param="amount")
    return asked


def _start(account: Account, charge: Object) -> str:
    if account.refund_starts:
        return account.refund_starts.popleft()
    card = charge["payment_method_details"].get("card")
    return "succeeded" if card and card["last4"] != SLOW_CARD[-4:] else "pending"


def _book(account: Account, refund: Object, amount: int) -> str:
    about = {"description": "REFUND FOR CHARGE", "reporting_category": "refund", "type": "refund"}
    movement = balance_transaction(account.now(), refund, amount, 0, **about)
    return str(account.store.add(movement)["id"])


def _follow_up(account: Account, refund: Object, charge: Object) -> None:
    card = charge["payment_method_details"].get("card")
    delay = account.config.followup_delay if card else account.config.sepa_delay
    if card and card["last4"] == FAILING_CARD[-4:]:
        account.later(delay, lambda: _fail_unless_ended(account, refund))
    else:
        account.later(delay, lambda: _arrive(account, refund))


def _fail_unless_ended(account: Account, refund: Object) -> None:
    if NEXT[refund["status"]]:
        fail(account, refund, "expired_or_canceled_card")


def _arrive(account: Account, refund: Object) -> None:
    """The bank's reference becomes known; a refund that was pending has succeeded."""
    if refund["status"] not in ("pending", "succeeded"):
        return
    before: Object = {}
    if refund["status"] == "pending":
        before["status"], refund["status"] = refund["status"], "succeeded"
    if card := refund["destination_details"].get("card"):
        before["destination_details"] = {"card": {"reference": None, "reference_status": "pending"}}
        card |= {"reference": "74567890123456789012345", "reference_status": "available"}
    _emit_update(account, refund, before)


def _emit_update(account: Account, refund: Object, before: Object, cause: Cause = AUTOMATIC) -> None:
    """Once for every method; once more, as another event, for cards."""
    account.emit("refund.updated", refund, before, cause)
    if "card" in refund["destination_details"]:
        account.emit("charge.refund.updated", refund, copy.deepcopy(before), cause)


def advance(account: Account, refund: Object, status: str, reason: str = "unknown") -> Object:
    """What the customer or the bank does next."""
    if status == "failed":
        return fail(account, refund, reason)
    if status == "canceled":
        return cancel(account, refund)
    before = _change(account, refund, status)
    _emit_update(account, refund, before)
    if status == "pending":
        account.later(account.config.followup_delay, lambda: _arrive(account, refund))
    return refund


def cancel(account: Account, refund: Object, cause: Cause = AUTOMATIC) -> Object:
    """The shop's doing, possible only while the customer still has to say where the money goes."""
    before = _change(account, refund, "canceled")
    _give_back(account, refund)
    _emit_update(account, refund, before, cause)
    return refund


def fail(account: Account, refund: Object, reason: str) -> Object:
    """The bank sends the money back: also a succeeded refund can still fail, days later."""
    before = {"failure_balance_transaction": None, "failure_reason": None, **_change(account, refund, "failed")}
    refund["failure_reason"] = reason
    refund["failure_balance_transaction"] = _give_back(account, refund)
    account.emit("refund.failed", refund, before)
    _emit_update(account, refund, before)
    return refund


def _change(account: Account, refund: Object, status: str) -> Object:
    """Returns the former values."""
    if status not in NEXT[refund["status"]]:
        raise StripeError(f"The refund {refund['id']} is {refund['status']}: it cannot become {status}.")
    before: Object = {"status": refund["status"]}
    refund["status"] = status
    if "next_action" in refund and status != "requires_action":
        before["next_action"] = refund.pop("next_action")
    if status == "requires_action":
        charge = account.store.get("charge", refund["charge"])
        refund["next_action"] = instructions(account.now(), charge["billing_details"]["email"])
    return before


def _give_back(account: Account, refund: Object) -> str:
    charge = account.store.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    return _book(account, refund, refund["amount"])
