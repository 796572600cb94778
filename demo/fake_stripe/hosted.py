"""How a customer pays a Checkout Session: by its page, by the control API, or as the official CLI confirms one."""

import uuid

from . import payments, sessions
from .account import Account, Cause
from .errors import StripeError
from .shapes.payment import Payer, payment_intent
from .state import Object, new_id


def pay(account: Account, session: Object, method: Object, payer: Payer) -> Object | None:
    """Returns the completion's event; raises a card error (402) when declined, and the session stays open."""
    if session["status"] != "open":
        raise StripeError(f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    if method["type"] not in session["payment_method_types"]:
        raise StripeError(f"This Checkout Session does not take {method['type']}.", param="method")
    if session["amount_total"] == 0:
        return sessions.complete(account, session, payer, "no_payment_required")
    cause = Cause(new_id("req", 14), str(uuid.uuid4()))  # the page calls Stripe's API for the customer
    attempt = payments.confirm(account, _intent(account, session, payer, cause), method, payer, cause)
    completed = sessions.complete(account, session, payer, "paid" if attempt["paid"] else "unpaid")
    delay = account.config.followup_delay
    account.later(delay, lambda: payments.dispute_where_the_card_says_so(account, attempt))
    return completed


def _intent(account: Account, session: Object, payer: Payer, cause: Cause) -> Object:
    """The session's payment intent; made by the first attempt and kept for the next."""
    terms = account.store.session_params[session["id"]].get("payment_intent_data", {})
    if session["payment_intent"] is None:
        intent = account.store.add(payment_intent(account.now(), session, terms))
        session["payment_intent"] = intent["id"]
        account.emit("payment_intent.created", intent, cause=cause)
    intent = account.store.get("payment_intent", session["payment_intent"])
    intent |= {"amount": session["amount_total"], "shipping": payer.shipping() or terms.get("shipping")}
    return intent


def settle(account: Account, session: Object) -> bool:
    """The bank's answer to the session's debit comes now; False where none is awaited."""
    intent = account.store.find(session["payment_intent"] or "")
    return intent is not None and payments.settle(account, intent)


def confirm_page(account: Account, params: Object, session_id: str, _cause: Cause) -> Object:
    """`/v1/payment_pages/{id}/confirm`, which the CLI calls in the customer's place."""
    session = account.store.get("checkout.session", session_id)
    if params["expected_amount"] != session["amount_total"]:
        message = f"The amount is {session['amount_total']}, not the expected {params['expected_amount']}."
        raise StripeError(message, code="checkout_amount_mismatch", param="expected_amount")
    method = account.store.get("payment_method", params["payment_method"], "payment_method")
    pay(account, session, method, Payer.of(method["billing_details"]))
    return session
