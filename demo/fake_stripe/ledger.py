"""The fake's ledger: sessions, money, discounts, events and deliveries in one document."""

import copy
from collections import defaultdict

from .account import Account
from .store import Object

KINDS = {
    "sessions": "checkout.session",
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "coupons": "coupon",
    "promotion_codes": "promotion_code",
}
TOTALS = ("charged", "refunded", "disputed", "balance")


def ledger(account: Account) -> Object:
    """Return the objects of `KINDS`, oldest first, each event with its deliveries, and the totals by currency.

    The totals are in minor units.
    """
    with account.store.lock:
        shown: Object = {name: account.store.all(kind)[::-1] for name, kind in KINDS.items()}
        events = [event_summary(account, event) for event in account.store.all("event")[::-1]]
        return copy.deepcopy({"now": account.now(), **shown, "events": events, "totals": _totals(account)})


def event_summary(account: Account, event: Object) -> Object:
    """Return an event without its data, with every delivery and attempt."""
    about = event["data"]["object"]
    return {
        **{name: event[name] for name in ("id", "type", "created", "pending_webhooks")},
        "object_id": about["id"],
        "deliveries": [delivery.summary() for delivery in account.webhooks.deliveries_of(event["id"])],
    }


def _totals(account: Account) -> Object:
    """Return the totals by currency, in minor units.

    `refunded` includes pending refunds, `disputed` is what banks hold now, `balance` is after all fees.
    """
    totals: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(TOTALS, 0))
    for charge in account.store.all("charge"):
        if charge["status"] == "succeeded":
            totals[charge["currency"]]["charged"] += charge["amount"]
            totals[charge["currency"]]["refunded"] += charge["amount_refunded"]
    for dispute in account.store.all("dispute"):
        totals[dispute["currency"]]["disputed"] -= sum(moved["amount"] for moved in dispute["balance_transactions"])
    for moved in account.store.all("balance_transaction"):
        totals[moved["currency"]]["balance"] += moved["net"]
    return dict(totals)
