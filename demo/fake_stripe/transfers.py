"""Customers who pay by bank transfer, in one or several parts (other applications' business, as `intents` is)."""

from . import payments
from .account import Account, Cause
from .shapes.customer import cash_balance_transaction, customer
from .shapes.payment import Payer
from .state import Object


def create_customer(account: Account, params: Object, cause: Cause) -> Object:
    created = account.store.add(customer(account.now(), params))
    account.emit("customer.created", created, cause=cause)
    return created


def await_transfer(account: Account, intent: Object, cause: Cause) -> Object:
    """What the customer still has to transfer stands in `next_action`."""
    due = {
        "amount_remaining": intent["amount"],
        "currency": intent["currency"],
        "financial_addresses": [],
        "hosted_instructions_url": "https://payments.stripe.com/bank_transfers/instructions/test",
        "reference": intent["id"][-12:].upper(),
        "type": f"{intent['currency'][:2]}_bank_transfer",
    }
    instructions = {"display_bank_transfer_instructions": due, "type": "display_bank_transfer_instructions"}
    intent |= {"status": "requires_action", "next_action": instructions}
    account.emit("payment_intent.requires_action", intent, cause=cause)
    return intent


def fund(account: Account, params: Object, customer_id: str, cause: Cause) -> Object:
    """Money arrives: it goes to the customer's oldest open payments in this currency; what is left stays theirs."""
    payer = account.store.get("customer", customer_id)
    left: int = params["amount"]
    received = cash_balance_transaction(account.now(), payer, params)
    account.store.add(received)
    account.emit("customer_cash_balance_transaction.created", received, cause=cause)
    for intent in reversed(account.store.all("payment_intent")):
        if left and _awaits(intent, customer_id, params["currency"]):
            left -= _apply(account, intent, payer, left, cause)
    return received


def _awaits(intent: Object, customer_id: str, currency: str) -> bool:
    action = intent["next_action"] or {}
    mine = intent["customer"] == customer_id and intent["currency"] == currency
    return mine and action.get("type") == "display_bank_transfer_instructions"


def _apply(account: Account, intent: Object, payer: Object, amount: int, cause: Cause) -> int:
    """Returns how much of it this payment took."""
    due = intent["next_action"]["display_bank_transfer_instructions"]
    taken = min(amount, int(due["amount_remaining"]))
    due["amount_remaining"] -= taken
    if due["amount_remaining"]:
        account.emit("payment_intent.partially_funded", intent, cause=cause)
        return taken
    intent["next_action"] = None
    of = Payer.of({"email": payer["email"], "name": payer["name"]})
    method = payments.add_method(account, "customer_balance", "", of)
    payments.confirm(account, intent, method, of, cause)
    return taken
