"""The payment of a Checkout Session: on its page, by the control API, or by the official CLI."""

import uuid

from . import bank_transfers, payments, sessions, vouchers
from .account import Account, Cause
from .errors import StripeError
from .objects.payment import Payer, payment_intent
from .store import Object, new_id
from .vouchers import VOUCHER_TYPES


def pay(account: Account, session: Object, method: Object, payer: Payer) -> Object | None:
    """Pay the session and return its `checkout.session.completed` event, or None if a fault prevents the event.

    Raise `StripeError` (402) if the payment is declined: the session then stays open. Raise `StripeError` (400)
    if the session is not open or does not take this payment method.
    """
    if session["status"] != "open":
        raise StripeError(f"This Checkout Session is {session['status']}.", code="checkout_session_not_open")
    if method["type"] not in session["payment_method_types"]:
        raise StripeError(f"This Checkout Session does not take {method['type']}.", param="method")
    if session["amount_total"] == 0:
        return sessions.complete(account, session, payer, "no_payment_required")
    cause = Cause(new_id("req", 14), str(uuid.uuid4()))  # the page calls Stripe's API for the customer
    intent = _get_or_create_intent(account, session, payer, cause)
    if method["type"] in VOUCHER_TYPES.values():
        vouchers.request(account, intent, method, cause)
        return sessions.complete(account, session, payer, "unpaid")
    if method["type"] == bank_transfers.METHOD_TYPE:
        bank_transfers.request_for_session(account, intent, method, cause)
        return sessions.complete(account, session, payer, "unpaid")
    charge = payments.confirm(account, intent, method, payer, cause)
    completed = sessions.complete(account, session, payer, "paid" if charge["paid"] else "unpaid")
    account.schedule(account.config.followup_delay, lambda: payments.open_card_dispute(account, charge))
    return completed


def _get_or_create_intent(account: Account, session: Object, payer: Payer, cause: Cause) -> Object:
    """Return the session's payment intent with the current amount. The first attempt to pay creates it."""
    intent_data = account.store.session_params[session["id"]].get("payment_intent_data", {})
    if session["payment_intent"] is None:
        intent = account.store.add(payment_intent(account.now(), session, intent_data))
        session["payment_intent"] = intent["id"]
        account.emit("payment_intent.created", intent, cause=cause)
    intent = account.store.get("payment_intent", session["payment_intent"])
    intent |= {"amount": session["amount_total"], "shipping": payer.shipping() or intent_data.get("shipping")}
    if presented := session.get("presentment_details"):
        intent["presentment_details"] = presented
    return intent


def finish_delayed(account: Account, session: Object) -> bool:
    """End the wait for the session's debit, voucher or bank transfer. Return False if none is pending."""
    intent = account.store.find(session["payment_intent"] or "")
    ways = (payments.settle, vouchers.finish, bank_transfers.settle)
    return intent is not None and any(finish(account, intent) for finish in ways)


def confirm_page(account: Account, params: Object, session_id: str, _cause: Cause) -> Object:
    """Pay a session for `/v1/payment_pages/{id}/confirm`. Stripe's CLI calls this route.

    Raise `StripeError` if the amount is not the expected one, or in the cases of `pay`.
    """
    session = account.store.get("checkout.session", session_id)
    if params["expected_amount"] != session["amount_total"]:
        message = f"The amount is {session['amount_total']}, not the expected {params['expected_amount']}."
        raise StripeError(message, code="checkout_amount_mismatch", param="expected_amount")
    method = account.store.get("payment_method", params["payment_method"], "payment_method")
    pay(account, session, method, Payer.from_billing_details(method["billing_details"]))
    return session
