"""Payments by bank transfer: of a Checkout Session in one transfer, of another application's intent in one or more.

requires_action ─▶ settle ─▶ succeeded    the transfer of a session's payment has arrived
"""

from . import payments, sessions
from .account import AUTOMATIC, Account, Cause
from .objects.customer import cash_balance_transaction, customer
from .objects.payment import Payer
from .store import Object

METHOD_TYPE = "customer_balance"
INSTRUCTIONS = "display_bank_transfer_instructions"


def create_customer(account: Account, params: Object, cause: Cause) -> Object:
    """Create a customer and emit `customer.created`."""
    created = account.store.add(customer(account.now(), params))
    account.emit("customer.created", created, cause=cause)
    return created


def request_transfer(account: Account, intent: Object, cause: Cause) -> Object:
    """Let the payment wait for a transfer and emit `payment_intent.requires_action`.

    The intent's `next_action` has the amount that is still due.
    """
    due = {
        "amount_remaining": intent["amount"],
        "currency": intent["currency"],
        "financial_addresses": [],
        "hosted_instructions_url": "https://payments.stripe.com/bank_transfers/instructions/test",
        "reference": intent["id"][-12:].upper(),
        "type": f"{intent['currency'][:2]}_bank_transfer",
    }
    instructions = {INSTRUCTIONS: due, "type": INSTRUCTIONS}
    intent |= {"status": "requires_action", "next_action": instructions}
    account.emit("payment_intent.requires_action", intent, cause=cause)
    return intent


def request_for_session(account: Account, intent: Object, method: Object, cause: Cause) -> None:
    """Let a session's payment wait for a transfer, which arrives after `sepa_delay`, or when `settle` is called."""
    intent["payment_method"] = method["id"]
    request_transfer(account, intent, cause)
    account.schedule(account.config.sepa_delay, lambda: settle(account, intent))


def settle(account: Account, intent: Object) -> bool:
    """Let the bank settle the transfer that a session's payment waits for. Return False if it waits for none."""
    if intent["payment_method"] is None or (intent["next_action"] or {}).get("type") != INSTRUCTIONS:
        return False
    method = account.store.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    payments.confirm(account, intent, method, Payer.from_billing_details(method["billing_details"]), AUTOMATIC)
    sessions.finish_delayed_payment(account, intent, paid=True)
    return True


def fund_balance(account: Account, params: Object, customer_id: str, cause: Cause) -> Object:
    """Add a transfer to the customer's balance, and use it for their oldest open payments in the same currency."""
    payer = account.store.get("customer", customer_id)
    left: int = params["amount"]
    received = cash_balance_transaction(account.now(), payer, params)
    account.store.add(received)
    account.emit("customer_cash_balance_transaction.created", received, cause=cause)
    for intent in reversed(account.store.all("payment_intent")):
        if left and _awaits_transfer(intent, customer_id, params["currency"]):
            left -= _apply(account, intent, payer, left, cause)
    return received


def _awaits_transfer(intent: Object, customer_id: str, currency: str) -> bool:
    action = intent["next_action"] or {}
    matches = intent["customer"] == customer_id and intent["currency"] == currency
    return matches and action.get("type") == INSTRUCTIONS


def _apply(account: Account, intent: Object, payer: Object, amount: int, cause: Cause) -> int:
    """Pay a payment's due amount, or a part of it, and return the paid amount."""
    due = intent["next_action"][INSTRUCTIONS]
    paid = min(amount, int(due["amount_remaining"]))
    due["amount_remaining"] -= paid
    if due["amount_remaining"]:
        account.emit("payment_intent.partially_funded", intent, cause=cause)
        return paid
    intent["next_action"] = None
    details = Payer.from_billing_details({"email": payer["email"], "name": payer["name"]})
    method = payments.add_method(account, METHOD_TYPE, "", details)
    payments.confirm(account, intent, method, details, cause)
    return paid
