"""Payments: the changes of payment intent, charge and session, and their events.

    card                   confirm ─▶ succeeded
    declined card          confirm ─▶ requires_payment_method
    card, manual capture   confirm ─▶ requires_capture, capture ─▶ succeeded
    SEPA debit             confirm ─▶ processing, settle ─▶ succeeded | requires_payment_method

The statuses are those of the payment intent.
"""

from collections.abc import Callable, Mapping
from functools import partial

from . import disputes, sessions
from .account import AUTOMATIC, Account, Cause
from .cards import DECLINES, FAILING_IBANS, NOT_A_TEST_CARD, SEPA_FAILURE, SUCCEEDING_CARDS, Decline
from .errors import StripeError
from .objects import payment_method as methods
from .objects.balance import balance_transaction
from .objects.payment import Payer
from .objects.payment import charge as charge_object
from .store import Object

BUILDERS: Mapping[str, Callable[[int, str, Payer], Object]] = {
    "card": methods.card,
    "sepa_debit": methods.sepa_debit,
    "customer_balance": methods.customer_balance,
    **{type_: partial(methods.voucher, type_) for type_ in ("boleto", "konbini", "multibanco", "oxxo")},
}


def add_method(account: Account, type_: str, number: str, payer: Payer) -> Object:
    """Add a payment method. `number` is a card number, an IBAN, or what happens to a voucher (`vouchers.PAID`).

    The API never shows the number.
    """
    method = account.store.add(BUILDERS[type_](account.now(), number, payer))
    account.store.numbers[method["id"]] = number
    return method


def confirm(account: Account, intent: Object, method: Object, payer: Payer, cause: Cause) -> Object:
    """Charge a payment method and return the charge. Raise `StripeError` (402) if it is declined.

    A SEPA debit stays pending: the bank settles it after `sepa_delay`, or when `settle` is called.
    """
    number = account.store.numbers[method["id"]]
    charge = account.store.add(charge_object(account.now(), intent, payer, method, account.config.shop_name))
    if presented := intent.get("presentment_details"):
        charge["presentment_details"] = presented
    if method["type"] == "sepa_debit":
        _start_debit(account, intent, charge, cause)
    elif method["type"] == "card" and number not in SUCCEEDING_CARDS:
        raise _decline(account, intent, charge, method, DECLINES.get(number, NOT_A_TEST_CARD), cause)
    elif intent["capture_method"] == "manual":
        _authorize(account, intent, charge, cause)
    else:
        _succeed(account, intent, charge, cause)
    return charge


def _start_debit(account: Account, intent: Object, charge: Object, cause: Cause) -> None:
    charge["outcome"] = _outcome("pending", "Payment complete.", "authorized")
    intent |= {"status": "processing", "latest_charge": charge["id"], "payment_method": charge["payment_method"]}
    account.emit("charge.pending", charge, cause=cause)
    account.emit("payment_intent.processing", intent, cause=cause)
    account.schedule(account.config.sepa_delay, lambda: settle(account, intent))


def settle(account: Account, intent: Object) -> bool:
    """Let the bank settle a pending debit, which succeeds or fails by its IBAN. Return False if none is pending."""
    if intent["status"] != "processing":
        return False
    charge = account.store.get("charge", intent["latest_charge"])
    method = account.store.get("payment_method", intent["payment_method"])
    paid = account.store.numbers[method["id"]] not in FAILING_IBANS
    if paid:
        _succeed(account, intent, charge, AUTOMATIC)
    else:
        _decline(account, intent, charge, method, SEPA_FAILURE, AUTOMATIC)
    sessions.finish_delayed_payment(account, intent, paid=paid)
    return True


def _authorize(account: Account, intent: Object, charge: Object, cause: Cause) -> None:
    """Authorize a payment: the card's bank reserves the money until it is captured."""
    charge |= {
        "status": "succeeded",
        "paid": True,
        "outcome": _outcome("approved_by_network", "Payment complete.", "authorized"),
    }
    intent |= {
        "status": "requires_capture",
        "amount_capturable": intent["amount"],
        "latest_charge": charge["id"],
        "payment_method": charge["payment_method"],
    }
    account.emit("charge.succeeded", charge, cause=cause)
    account.emit("payment_intent.amount_capturable_updated", intent, cause=cause)


def capture(account: Account, intent: Object, cause: Cause) -> None:
    """Capture an authorized payment. Its balance transaction is added after `followup_delay`."""
    charge = account.store.get("charge", intent["latest_charge"])
    charge |= {"amount_captured": charge["amount"], "captured": True}
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "amount_capturable": 0}
    account.emit("charge.captured", charge, cause=cause)
    account.emit("payment_intent.succeeded", intent, cause=cause)
    account.schedule(account.config.followup_delay, lambda: _book(account, charge))


def _succeed(account: Account, intent: Object, charge: Object, cause: Cause) -> None:
    charge |= {
        "status": "succeeded",
        "amount_captured": charge["amount"],
        "captured": True,
        "paid": True,
        "outcome": _outcome("approved_by_network", "Payment complete.", "authorized"),
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{charge['id']}",
    }
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "payment_method": charge["payment_method"],
    }
    account.emit("charge.succeeded", charge, cause=cause)
    account.emit("payment_intent.succeeded", intent, cause=cause)
    account.schedule(account.config.followup_delay, lambda: _book(account, charge))


def _book(account: Account, charge: Object) -> None:
    """Add the charge's balance transaction. Stripe does this some time after the charge."""
    fee = charge["amount"] * 15 // 1000 + 25  # minor units: 1.5 % plus 0.25, a plausible fee
    about = {"fee_description": "Stripe processing fees", "reporting_category": "charge", "type": "charge"}
    movement = balance_transaction(account.now(), charge, charge["amount"], fee, **about)
    charge["balance_transaction"] = account.store.add(movement)["id"]
    account.emit("charge.updated", charge, {"balance_transaction": None})


def open_card_dispute(account: Account, charge: Object) -> None:
    """Open a dispute of the charge if its card is one of Stripe's test cards for disputes."""
    number = account.store.numbers[charge["payment_method"]]
    if number in disputes.DISPUTED_CARDS:
        reason, inquiry = disputes.DISPUTED_CARDS[number]
        disputes.open_dispute(account, charge, reason, inquiry=inquiry)


def _decline(
    account: Account, intent: Object, charge: Object, method: Object, decline: Decline, cause: Cause
) -> StripeError:
    """Fail the charge and return the error for its declined payment."""
    codes = {"code": decline.code, "decline_code": decline.decline_code}
    error = StripeError(decline.message, status=402, type_="card_error", **codes, charge=charge["id"])
    charge |= {
        "status": "failed",
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": _outcome("declined_by_network", "The bank did not accept the payment.", "issuer_declined"),
    }
    more = {"advice_code": "try_again_later", "network_decline_code": "01", "payment_method": method}
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": {**error.error, **more},
        "latest_charge": charge["id"],
        "payment_method": None,
    }
    account.emit("charge.failed", charge, cause=cause)
    account.emit("payment_intent.payment_failed", intent, cause=cause)
    return error


def _outcome(network_status: str, message: str, type_: str) -> Object:
    declined = type_ == "issuer_declined"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": "01" if declined else None,
        "network_status": network_status,
        "reason": "generic_decline" if declined else None,
        "risk_level": "normal",
        "risk_score": 11,
        "seller_message": message,
        "type": type_,
    }
