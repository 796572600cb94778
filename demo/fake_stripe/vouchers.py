"""Vouchers: payments that the customer makes at a store or a cash machine after they have left the payment page.

requires_action ─▶ finish ─▶ succeeded                  the customer has paid the voucher
                       └───▶ requires_payment_method    the voucher has expired
"""

from . import payments, sessions
from .account import AUTOMATIC, Account, Cause
from .cards import Decline
from .objects.payment import Payer
from .objects.session import DAY_S
from .store import Object, new_id

VOUCHER_TYPES = {"brl": "boleto", "eur": "multibanco", "jpy": "konbini", "mxn": "oxxo"}  # by currency
PAID, EXPIRES = "voucher-paid", "voucher-expires"  # what the customer does with it, in place of a card number
LIFETIME_S = 3 * DAY_S
EXPIRED = Decline("payment_intent_payment_attempt_expired", "expired", "The voucher was not paid in time.")


def request(account: Account, intent: Object, method: Object, cause: Cause) -> None:
    """Let the payment wait for a voucher, which `finish` ends after `sepa_delay`.

    The intent's `next_action` has the URL of the voucher's page.
    """
    kind = f"{method['type']}_display_details"
    expiry = "expires_after" if method["type"] == "oxxo" else "expires_at"
    details = {
        expiry: account.now() + LIFETIME_S,
        "hosted_voucher_url": f"{account.base_url}/voucher/{intent['id']}",
        "reference": new_id("voucher")[-9:],
    }
    intent |= {
        "status": "requires_action",
        "payment_method": method["id"],
        "next_action": {"type": kind, kind: details},
    }
    account.emit("payment_intent.requires_action", intent, cause=cause)
    account.schedule(account.config.sepa_delay, lambda: finish(account, intent))


def finish(account: Account, intent: Object) -> bool:
    """Let the customer pay the voucher, or let it expire, as they chose. Return False if none is pending."""
    kind = (intent["next_action"] or {}).get("type", "")
    if intent["status"] != "requires_action" or not kind.endswith("_display_details"):
        return False
    method = account.store.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    paid = account.store.numbers[method["id"]] == PAID
    if paid:
        payments.confirm(account, intent, method, Payer.from_billing_details(method["billing_details"]), AUTOMATIC)
    else:
        error = {"code": EXPIRED.code, "message": EXPIRED.message, "payment_method": method, "type": "card_error"}
        intent |= {"status": "requires_payment_method", "last_payment_error": error, "payment_method": None}
        account.emit("payment_intent.payment_failed", intent)
    sessions.finish_delayed_payment(account, intent, paid=paid)
    return True
