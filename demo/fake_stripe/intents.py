"""Payment intents without a Checkout Session, made and confirmed through the API: the business of other applications.

The shop has none; they show that it leaves alone what is not its own, and the official CLI's triggers are made of them.
"""

from . import payments
from .account import Account, Cause
from .cards import AUTHENTICATION_REQUIRED, READY_MADE
from .errors import StripeError
from .shapes.payment import Payer, direct_payment_intent
from .state import Object
from .transfers import await_transfer

CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")


def create_intent(account: Account, params: Object, cause: Cause) -> Object:
    params = {"payment_method_types": ["card"], **params}
    intent = account.store.add(direct_payment_intent(account.now(), params))
    account.emit("payment_intent.created", intent, cause=cause)
    if method_id := params.get("payment_method"):
        intent |= {"payment_method": _method(account, method_id)["id"], "status": "requires_confirmation"}
    if params["payment_method_types"] == ["customer_balance"] and params.get("confirm"):
        return await_transfer(account, intent, cause)
    return _confirm(account, intent, cause) if params.get("confirm") else intent


def confirm_intent(account: Account, params: Object, intent_id: str, cause: Cause) -> Object:
    intent = account.store.get("payment_intent", intent_id)
    if method_id := params.get("payment_method"):
        intent["payment_method"] = _method(account, method_id)["id"]
    return _confirm(account, intent, cause)


def create_method(account: Account, params: Object, _cause: Cause) -> Object:
    details = params.get(params["type"], {})
    number = details.get("number") or details.get("iban") or READY_MADE.get(details.get("token", ""))
    if not number:
        raise StripeError(f"Missing required param: {params['type']}.", code="parameter_missing", param=params["type"])
    return payments.add_method(account, params["type"], number, Payer.of(params.get("billing_details", {})))


def _method(account: Account, method_id: str) -> Object:
    if method_id in READY_MADE:
        return payments.add_method(account, "card", READY_MADE[method_id], Payer.of({}))
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
    attempt = payments.confirm(account, intent, method, Payer.of(method["billing_details"]), cause)
    # At once, not some time later: the CLI looks for the dispute in its next call.
    payments.dispute_where_the_card_says_so(account, attempt)
    return intent


def cancel_intent(account: Account, params: Object, intent_id: str, cause: Cause) -> Object:
    intent = account.store.get("payment_intent", intent_id)
    if intent["status"] not in CANCELABLE:
        raise _unexpected(intent, "cancel")
    reason = params.get("cancellation_reason")
    intent |= {"status": "canceled", "canceled_at": account.now(), "cancellation_reason": reason, "next_action": None}
    account.emit("payment_intent.canceled", intent, cause=cause)
    return intent


def capture_intent(account: Account, _params: Object, intent_id: str, cause: Cause) -> Object:
    intent = account.store.get("payment_intent", intent_id)
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "capture")
    payments.capture(account, intent, cause)
    return intent


def _unexpected(intent: Object, act: str) -> StripeError:
    message = f"You cannot {act} this PaymentIntent because it has a status of {intent['status']}."
    return StripeError(message, code="payment_intent_unexpected_state", param="payment_intent")
