"""What a payment does: to the session, its payment intent and charge, and which events it makes."""

import uuid
from dataclasses import dataclass

from . import disputes, sessions
from .account import Account, Cause
from .errors import StripeError
from .refunds import FAILING_CARD, SLOW_CARD
from .shapes import method as methods
from .shapes.balance import balance_transaction
from .shapes.payment import Payer, charge, payment_intent
from .state import Object, new_id


@dataclass(frozen=True)
class Decline:
    code: str
    decline_code: str
    message: str


SUCCEEDS = ("4242424242424242", "5555555555554444", "4000056655665556", SLOW_CARD, FAILING_CARD, *disputes.CARDS)
DECLINES = {
    "4000000000000002": Decline("card_declined", "generic_decline", "Your card was declined."),
    "4000000000009995": Decline("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": Decline("expired_card", "expired_card", "Your card has expired."),
    "4000000000000127": Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
}
PROMISES = {  # cards that pay, and what comes of it
    "4242424242424242": "Pays.",
    "4000000000000259": "Pays; the customer's bank takes the money back later (fraudulent).",
    "4000000000002685": "Pays; the customer's bank takes the money back later (not received).",
    "4000000000001976": "Pays; the customer's bank inquires later.",
    SLOW_CARD: "Pays; a refund is pending at first.",
    FAILING_CARD: "Pays; a refund succeeds, and fails later.",
}
NOT_A_TEST_CARD = Decline(
    "card_declined", "test_mode_live_card", "Your card was declined. Only test cards work here; try one of those below."
)
IBAN_SUCCEEDS, IBAN_FAILS = "DE89370400440532013000", "DE62370400440532013001"
SEPA_FAILURE = Decline(
    "payment_method_not_available", "insufficient_funds", "The customer's bank did not pay the debit."
)


def _by_customer() -> Cause:
    """The hosted page calls Stripe's API for the customer."""
    return Cause(new_id("req", 14), str(uuid.uuid4()))


def pay_by_card(account: Account, session: Object, number: str, payer: Payer) -> Object | None:
    """Returns the completion's event; raises a card error (402) when declined, and the session stays open."""
    _refuse_unless_open(session, "card")
    if session["amount_total"] == 0:
        return sessions.complete(account, session, payer, "no_payment_required")
    intent = _confirm(account, session, payer)
    method = account.store.add(methods.card(account.now(), number, payer))
    attempt = account.store.add(charge(account.now(), intent, payer, method, account.config.shop_name))
    if number not in SUCCEEDS:
        raise _decline(account, intent, attempt, method, DECLINES.get(number, NOT_A_TEST_CARD))
    _succeed(account, intent, attempt, _by_customer())
    completed = sessions.complete(account, session, payer, "paid")
    if number in disputes.CARDS:
        reason, inquiry = disputes.CARDS[number]
        delay = account.config.followup_delay
        account.later(delay, lambda: disputes.open_dispute(account, attempt, reason, inquiry=inquiry))
    return completed


def pay_by_sepa(account: Account, session: Object, iban: str, payer: Payer) -> Object | None:
    """The customer is done at once; the money comes, or not, after `sepa_delay` or when `settle` is called."""
    _refuse_unless_open(session, "sepa_debit")
    if session["amount_total"] == 0:
        return sessions.complete(account, session, payer, "no_payment_required")
    intent = _confirm(account, session, payer)
    method = account.store.add(methods.sepa_debit(account.now(), iban, payer))
    attempt = account.store.add(charge(account.now(), intent, payer, method, account.config.shop_name))
    attempt["outcome"] = _outcome("pending", "normal", "Payment complete.", "authorized")
    intent |= {"status": "processing", "latest_charge": attempt["id"], "payment_method": method["id"]}
    account.emit("charge.pending", attempt, cause=_by_customer())
    account.emit("payment_intent.processing", intent, cause=_by_customer())
    completed = sessions.complete(account, session, payer, "unpaid")
    account.later(account.config.sepa_delay, lambda: settle(account, session))
    return completed


def settle(account: Account, session: Object) -> bool:
    """The bank's answer to a SEPA debit; False where none is awaited."""
    intent = account.store.find(session["payment_intent"] or "")
    if intent is None or intent["status"] != "processing":
        return False
    attempt = account.store.get("charge", intent["latest_charge"])
    method = account.store.get("payment_method", intent["payment_method"])
    if attempt["payment_method_details"]["sepa_debit"]["last4"] == IBAN_FAILS[-4:]:
        _decline(account, intent, attempt, method, SEPA_FAILURE)
        account.emit("checkout.session.async_payment_failed", session)
    else:
        _succeed(account, intent, attempt, Cause())
        session["payment_status"] = "paid"
        account.emit("checkout.session.async_payment_succeeded", session)
    return True


def _refuse_unless_open(session: Object, method: str) -> None:
    if session["status"] != "open":
        raise StripeError(f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    if method not in session["payment_method_types"]:
        raise StripeError(f"This Checkout Session does not take {method}.", param="method")


def _confirm(account: Account, session: Object, payer: Payer) -> Object:
    """The session's payment intent; made by the first attempt and kept for the next."""
    if session["payment_intent"] is None:
        terms = account.store.session_params[session["id"]].get("payment_intent_data", {})
        intent = account.store.add(payment_intent(account.now(), session, terms))
        session["payment_intent"] = intent["id"]
        account.emit("payment_intent.created", intent, cause=_by_customer())
    intent = account.store.get("payment_intent", session["payment_intent"])
    intent |= {"amount": session["amount_total"], "shipping": payer.shipping()}
    return intent


def _succeed(account: Account, intent: Object, attempt: Object, cause: Cause) -> None:
    attempt |= {
        "status": "succeeded",
        "amount_captured": attempt["amount"],
        "captured": True,
        "paid": True,
        "outcome": _outcome("approved_by_network", "normal", "Payment complete.", "authorized"),
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


def _decline(account: Account, intent: Object, attempt: Object, method: Object, why: Decline) -> StripeError:
    error = StripeError(
        why.message, status=402, type_="card_error", code=why.code, decline_code=why.decline_code, charge=attempt["id"]
    )
    attempt |= {
        "status": "failed",
        "failure_code": why.code,
        "failure_message": why.message,
        "outcome": _outcome("declined_by_network", "normal", "The bank did not accept the payment.", "issuer_declined"),
    }
    more = {"advice_code": "try_again_later", "network_decline_code": "01", "payment_method": method}
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": {**error.error, **more},
        "latest_charge": attempt["id"],
        "payment_method": None,
    }
    cause = _by_customer() if method["type"] == "card" else Cause()
    account.emit("charge.failed", attempt, cause=cause)
    account.emit("payment_intent.payment_failed", intent, cause=cause)
    return error


def _outcome(network_status: str, risk: str, message: str, type_: str) -> Object:
    declined = type_ == "issuer_declined"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": "01" if declined else None,
        "network_status": network_status,
        "reason": "generic_decline" if declined else None,
        "risk_level": risk,
        "risk_score": 11,
        "seller_message": message,
        "type": type_,
    }
