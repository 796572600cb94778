"""Payment intents without a Checkout Session, created and confirmed through the API.

Other applications on the account create these, and so do the official CLI's triggers. The shop does not. Tests use
them to show that the services ignore what belongs to other applications.
"""

from . import payments
from .account import Account, Cause
from .bank_transfers import request_transfer
from .cards import AUTHENTICATION_REQUIRED, TEST_METHODS
from .errors import StripeError
from .objects.payment import Payer, direct_payment_intent
from .store import Object

CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")


def create_intent(account: Account, params: Object, cause: Cause) -> Object:
    """Create a payment intent, and confirm it if `confirm` is true. Raise `StripeError` (402) if it is declined."""
    params = {"payment_method_types": ["card"], **params}
    intent = account.store.add(direct_payment_intent(account.now(), params))
    account.emit("payment_intent.created", intent, cause=cause)
    if method_id := params.get("payment_method"):
        intent |= {"payment_method": _get_or_create_method(account, method_id)["id"], "status": "requires_confirmation"}
    if params["payment_method_types"] == ["customer_balance"] and params.get("confirm"):
        return request_transfer(account, intent, cause)
    return _confirm(account, intent, cause) if params.get("confirm") else intent


def confirm_intent(account: Account, params: Object, intent_id: str, cause: Cause) -> Object:
    """Confirm a payment intent, with another payment method if the parameters name one.

    Raise `StripeError` if the payment is declined, or the intent's status does not allow it.
    """
    intent = account.store.get("payment_intent", intent_id)
    if method_id := params.get("payment_method"):
        intent["payment_method"] = _get_or_create_method(account, method_id)["id"]
    return _confirm(account, intent, cause)


def create_method(account: Account, params: Object, _cause: Cause) -> Object:
    """Create a payment method from a card number, a test token or an IBAN. Raise `StripeError` if there is none."""
    details = params.get(params["type"], {})
    number = details.get("number") or details.get("iban") or TEST_METHODS.get(details.get("token", ""))
    if not number:
        raise StripeError(f"Missing required param: {params['type']}.", code="parameter_missing", param=params["type"])
    return payments.add_method(
        account, params["type"], number, Payer.from_billing_details(params.get("billing_details", {}))
    )


def _get_or_create_method(account: Account, method_id: str) -> Object:
    if method_id in TEST_METHODS:
        return payments.add_method(account, "card", TEST_METHODS[method_id], Payer.from_billing_details({}))
    return account.store.get("payment_method", method_id, "payment_method")


def _confirm(account: Account, intent: Object, cause: Cause) -> Object:
    if intent["payment_method"] is None or intent["status"] not in ("requires_confirmation", "requires_payment_method"):
        raise _unexpected(intent, "confirm")
    method = account.store.get("payment_method", intent["payment_method"])
    if account.store.numbers[method["id"]] == AUTHENTICATION_REQUIRED:
        challenge = {"redirect_to_url": {"return_url": None, "url": "https://hooks.stripe.com/redirect/authenticate"}}
        intent |= {"status": "requires_action", "next_action": {**challenge, "type": "redirect_to_url"}}
        account.emit("payment_intent.requires_action", intent, cause=cause)
        return intent
    charge = payments.confirm(account, intent, method, Payer.from_billing_details(method["billing_details"]), cause)
    payments.open_card_dispute(account, charge)  # without a delay: the CLI looks for the dispute in its next call
    return intent


def cancel_intent(account: Account, params: Object, intent_id: str, cause: Cause) -> Object:
    """Cancel a payment intent. Raise `StripeError` if it is canceled, or its payment has succeeded or is processing."""
    intent = account.store.get("payment_intent", intent_id)
    if intent["status"] not in CANCELABLE:
        raise _unexpected(intent, "cancel")
    reason = params.get("cancellation_reason")
    intent |= {"status": "canceled", "canceled_at": account.now(), "cancellation_reason": reason, "next_action": None}
    account.emit("payment_intent.canceled", intent, cause=cause)
    return intent


def capture_intent(account: Account, _params: Object, intent_id: str, cause: Cause) -> Object:
    """Capture the money that the card's bank has authorized. Raise `StripeError` if the intent awaits no capture."""
    intent = account.store.get("payment_intent", intent_id)
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "capture")
    payments.capture(account, intent, cause)
    return intent


def _unexpected(intent: Object, action: str) -> StripeError:
    message = f"You cannot {action} this PaymentIntent because it has a status of {intent['status']}."
    return StripeError(message, code="payment_intent_unexpected_state", param="payment_intent")
