"""What a payment does to its payment intent and charge (and the session it is for), and which events it makes."""

from . import disputes, sessions
from .account import AUTOMATIC, Account, Cause
from .cards import DECLINES, FAILING_IBANS, NOT_A_TEST_CARD, SEPA_FAILURE, SUCCEEDS, Decline
from .errors import StripeError
from .shapes import method as methods
from .shapes.balance import balance_transaction
from .shapes.payment import Payer, charge
from .state import Object


def add_method(account: Account, type_: str, number: str, payer: Payer) -> Object:
    """A payment method of this card number or IBAN, which stays secret."""
    shape = {"card": methods.card, "sepa_debit": methods.sepa_debit, "customer_balance": methods.customer_balance}[
        type_
    ]
    method = account.store.add(shape(account.now(), number, payer))
    account.store.numbers[method["id"]] = number
    return method


def confirm(account: Account, intent: Object, method: Object, payer: Payer, cause: Cause) -> Object:
    """Try to get the money; returns the charge, raises a card error (402) when it is declined.

    A debit is only pending then: the bank's answer comes after `sepa_delay`, or when `settle` is called.
    """
    number = account.store.numbers[method["id"]]
    attempt = account.store.add(charge(account.now(), intent, payer, method, account.config.shop_name))
    if method["type"] == "sepa_debit":
        _wait_for_bank(account, intent, attempt, cause)
    elif method["type"] == "card" and number not in SUCCEEDS:
        raise _decline(account, intent, attempt, method, DECLINES.get(number, NOT_A_TEST_CARD), cause)
    elif intent["capture_method"] == "manual":
        _authorize(account, intent, attempt, cause)
    else:
        _succeed(account, intent, attempt, cause)
    return attempt


def _wait_for_bank(account: Account, intent: Object, attempt: Object, cause: Cause) -> None:
    attempt["outcome"] = _outcome("pending", "Payment complete.", "authorized")
    intent |= {"status": "processing", "latest_charge": attempt["id"], "payment_method": attempt["payment_method"]}
    account.emit("charge.pending", attempt, cause=cause)
    account.emit("payment_intent.processing", intent, cause=cause)
    account.later(account.config.sepa_delay, lambda: settle(account, intent))


def settle(account: Account, intent: Object) -> bool:
    """The bank's answer to a debit; False where none is awaited."""
    if intent["status"] != "processing":
        return False
    attempt = account.store.get("charge", intent["latest_charge"])
    method = account.store.get("payment_method", intent["payment_method"])
    paid = account.store.numbers[method["id"]] not in FAILING_IBANS
    if paid:
        _succeed(account, intent, attempt, AUTOMATIC)
    else:
        _decline(account, intent, attempt, method, SEPA_FAILURE, AUTOMATIC)
    sessions.tell_bank_answer(account, intent, paid=paid)
    return True


def _authorize(account: Account, intent: Object, attempt: Object, cause: Cause) -> None:
    """The card's bank holds the money until it is captured."""
    attempt |= {
        "status": "succeeded",
        "paid": True,
        "outcome": _outcome("approved_by_network", "Payment complete.", "authorized"),
    }
    intent |= {
        "status": "requires_capture",
        "amount_capturable": intent["amount"],
        "latest_charge": attempt["id"],
        "payment_method": attempt["payment_method"],
    }
    account.emit("charge.succeeded", attempt, cause=cause)
    account.emit("payment_intent.amount_capturable_updated", intent, cause=cause)


def capture(account: Account, intent: Object, cause: Cause) -> None:
    attempt = account.store.get("charge", intent["latest_charge"])
    attempt |= {"amount_captured": attempt["amount"], "captured": True}
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "amount_capturable": 0}
    account.emit("charge.captured", attempt, cause=cause)
    account.emit("payment_intent.succeeded", intent, cause=cause)
    account.later(account.config.followup_delay, lambda: _book(account, attempt))


def _succeed(account: Account, intent: Object, attempt: Object, cause: Cause) -> None:
    attempt |= {
        "status": "succeeded",
        "amount_captured": attempt["amount"],
        "captured": True,
        "paid": True,
        "outcome": _outcome("approved_by_network", "Payment complete.", "authorized"),
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{attempt['id']}",
    }
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "latest_charge": attempt["id"],
        "payment_method": attempt["payment_method"],
    }
    account.emit("charge.succeeded", attempt, cause=cause)
    account.emit("payment_intent.succeeded", intent, cause=cause)
    account.later(account.config.followup_delay, lambda: _book(account, attempt))


def _book(account: Account, attempt: Object) -> None:
    """Capture is asynchronous: only now does the charge get its balance transaction."""
    fee = attempt["amount"] * 15 // 1000 + 25  # a plausible tariff; nothing depends on it
    about = {"fee_description": "Stripe processing fees", "reporting_category": "charge", "type": "charge"}
    movement = balance_transaction(account.now(), attempt, attempt["amount"], fee, **about)
    attempt["balance_transaction"] = account.store.add(movement)["id"]
    account.emit("charge.updated", attempt, {"balance_transaction": None})


def dispute_where_the_card_says_so(account: Account, attempt: Object) -> None:
    number = account.store.numbers[attempt["payment_method"]]
    if number in disputes.CARDS:
        reason, inquiry = disputes.CARDS[number]
        disputes.open_dispute(account, attempt, reason, inquiry=inquiry)


def _decline(
    account: Account, intent: Object, attempt: Object, method: Object, why: Decline, cause: Cause
) -> StripeError:
    error = StripeError(
        why.message, status=402, type_="card_error", code=why.code, decline_code=why.decline_code, charge=attempt["id"]
    )
    attempt |= {
        "status": "failed",
        "failure_code": why.code,
        "failure_message": why.message,
        "outcome": _outcome("declined_by_network", "The bank did not accept the payment.", "issuer_declined"),
    }
    more = {"advice_code": "try_again_later", "network_decline_code": "01", "payment_method": method}
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": {**error.error, **more},
        "latest_charge": attempt["id"],
        "payment_method": None,
    }
    account.emit("charge.failed", attempt, cause=cause)
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
