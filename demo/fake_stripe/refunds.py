"""Refunds, from the API or the dashboard.

requires_action ◀─▶ pending ─▶ succeeded ─▶ failed   also days after it succeeded
       │               └─────▶ failed
       └─▶ succeeded | failed | canceled             it can be canceled only here
"""

import copy

from . import disputes
from .account import AUTOMATIC, Account, Cause
from .errors import StripeError
from .money import format_amount
from .objects.balance import balance_transaction
from .objects.refund import next_action
from .objects.refund import refund as refund_object
from .store import Object, new_id
from .totals import check_step

NEXT_STATUSES = {
    "requires_action": {"pending", "succeeded", "failed", "canceled"},
    "pending": {"succeeded", "failed", "requires_action"},
    "succeeded": {"failed"},
    "failed": set[str](),
    "canceled": set[str](),
}
SLOW_CARD, FAILING_CARD = "4000000000007726", "4000000000005126"  # docs.stripe.com/testing#refunds


def queue_first_status(account: Account, status: str) -> None:
    """Set the first status of the next refund, for every payment method. Each call queues one more.

    A status that Stripe does not have today represents one that Stripe adds later. An empty status becomes null.
    Raise `StripeError` for `failed` and `canceled`.
    """
    if status in ("failed", "canceled"):
        raise StripeError(f"A refund cannot begin as {status}.", param="status")
    account.next_refund_statuses.append(status)


def create_refund(account: Account, params: Object, cause: Cause) -> Object:
    """Refund a charge. Without an amount, refund all that is left of it.

    Raise `StripeError` if the charge has not succeeded, if less is left of it than the amount, if a chargeback is
    open, or if the bank holds the rest.
    """
    charge = _get_charge(account, params)
    amount = _refundable_amount(charge, disputes.amount_held(account, charge), params.get("amount"))
    status = _take_first_status(account, charge)
    refund = account.store.add(refund_object(account.now(), charge, amount, params, status or None))
    if presented := charge.get("presentment_details"):
        refund["presentment_details"] = _presented_share(charge, presented, amount)
    if refund["status"] == "requires_action":
        refund["next_action"] = next_action(account.now(), charge["billing_details"]["email"])
    refund["balance_transaction"] = _book(account, refund, -amount)
    before = {"amount_refunded": charge["amount_refunded"], "receipt_url": charge["receipt_url"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    charge["receipt_url"] = f"https://pay.stripe.com/receipts/payment/{new_id(charge['id'], 6)}"
    account.emit("refund.created", refund, cause=cause)
    account.emit("charge.refunded", charge, before | ({"refunded": False} if charge["refunded"] else {}), cause)
    if charge["refunded"]:
        disputes.close_inquiry(account, charge)
    _schedule_result(account, refund, charge)
    return refund


def _get_charge(account: Account, params: Object) -> Object:
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
    if disputes.has_open_chargeback(account, charge):
        raise _charge_disputed(charge)
    return charge


def _charge_disputed(charge: Object) -> StripeError:
    message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
    return StripeError(message, code="charge_disputed", param="charge")


def _refundable_amount(charge: Object, held: int, asked: int | None) -> int:
    """Return the requested amount, or all that is left: the charge less its refunds and less what the bank holds.

    Pending refunds count, failed and canceled ones do not. Raise `StripeError` if less is left than requested.
    """
    left = max(0, int(charge["amount"] - charge["amount_refunded"] - held))
    if left == 0 and held:
        raise _charge_disputed(charge)
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise StripeError(message, code="charge_already_refunded", param="charge")
    if asked is None:
        return left
    check_step(asked, charge["currency"], "amount")
    if asked > left:  # Stripe's error has no code, only this message
        requested, unrefunded = (format_amount(amount, charge["currency"]) for amount in (asked, left))
        limit = "unrefunded amount on charge" if left < charge["amount"] else "charge amount"
        raise StripeError(f"Refund amount ({requested}) is greater than {limit} ({unrefunded})", param="amount")
    return asked


def _presented_share(charge: Object, presented: Object, amount: int) -> Object:
    """Return the refund's part of what the customer paid in their own currency. All parts add up to the whole."""
    total, before = presented["presentment_amount"], charge["amount_refunded"]
    start, end = (total * refunded // charge["amount"] for refunded in (before, before + amount))
    return presented | {"presentment_amount": end - start}


def _take_first_status(account: Account, charge: Object) -> str:
    if account.next_refund_statuses:
        return account.next_refund_statuses.popleft()
    card = charge["payment_method_details"].get("card")
    return "succeeded" if card and card["last4"] != SLOW_CARD[-4:] else "pending"


def _book(account: Account, refund: Object, amount: int) -> str:
    about = {"description": "REFUND FOR CHARGE", "reporting_category": "refund", "type": "refund"}
    movement = balance_transaction(account.now(), refund, amount, 0, **about)
    return str(account.store.add(movement)["id"])


def _schedule_result(account: Account, refund: Object, charge: Object) -> None:
    card = charge["payment_method_details"].get("card")
    delay = account.config.followup_delay if card else account.config.sepa_delay
    if card and card["last4"] == FAILING_CARD[-4:]:
        account.schedule(delay, lambda: _fail_unless_ended(account, refund))
    else:
        account.schedule(delay, lambda: _succeed(account, refund))


def _fail_unless_ended(account: Account, refund: Object) -> None:
    if NEXT_STATUSES.get(refund["status"]):
        fail(account, refund, "expired_or_canceled_card")


def _succeed(account: Account, refund: Object) -> None:
    """Set a pending refund to succeeded, and add the bank's reference if it goes to a card.

    A refund with any other status than pending or succeeded does not change.
    """
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
    """Emit `refund.updated`, and for a card also `charge.refund.updated`."""
    account.emit("refund.updated", refund, before, cause)
    if "card" in refund["destination_details"]:
        account.emit("charge.refund.updated", refund, copy.deepcopy(before), cause)


def advance(account: Account, refund: Object, status: str, reason: str = "unknown") -> Object:
    """Move a refund to its next status. Raise `StripeError` if this status cannot follow the current one."""
    if status == "failed":
        return fail(account, refund, reason)
    if status == "canceled":
        return cancel(account, refund)
    before = _set_status(account, refund, status)
    _emit_update(account, refund, before)
    if status == "pending":
        account.schedule(account.config.followup_delay, lambda: _succeed(account, refund))
    return refund


def cancel(account: Account, refund: Object, cause: Cause = AUTOMATIC) -> Object:
    """Cancel a refund that waits for the customer's bank details. Raise `StripeError` for any other status."""
    before = _set_status(account, refund, "canceled")
    _reverse(account, refund)
    _emit_update(account, refund, before, cause)
    return refund


def fail(account: Account, refund: Object, reason: str) -> Object:
    """Fail a refund, also a succeeded one: the bank sends the money back to the shop.

    Raise `StripeError` if the refund is failed or canceled already.
    """
    before = {"failure_balance_transaction": None, "failure_reason": None, **_set_status(account, refund, "failed")}
    refund["failure_reason"] = reason
    refund["failure_balance_transaction"] = _reverse(account, refund)
    account.emit("refund.failed", refund, before)
    _emit_update(account, refund, before)
    return refund


def _set_status(account: Account, refund: Object, status: str) -> Object:
    """Set a refund's status and return the changed fields' old values. Raise `StripeError` if it cannot follow."""
    if status not in NEXT_STATUSES.get(refund["status"], NEXT_STATUSES["pending"]):
        raise StripeError(f"The refund {refund['id']} is {refund['status']}. It cannot become {status}.")
    before: Object = {"status": refund["status"]}
    refund["status"] = status
    if "next_action" in refund and status != "requires_action":
        before["next_action"] = refund.pop("next_action")
    if status == "requires_action":
        charge = account.store.get("charge", refund["charge"])
        refund["next_action"] = next_action(account.now(), charge["billing_details"]["email"])
    return before


def _reverse(account: Account, refund: Object) -> str:
    """Add the refund's amount to the charge again and return the id of its balance transaction."""
    charge = account.store.get("charge", refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    return _book(account, refund, refund["amount"])
