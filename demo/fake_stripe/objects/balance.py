"""The balance transaction: one movement of the account's balance."""

from typing import Any

from ..store import Object, new_id


def balance_transaction(created: int, source: Object, amount: int, fee: int, **about: Any) -> Object:
    """Return a balance transaction. `about` has its description, fee_description, reporting_category and type."""
    fee_line = {
        "amount": fee,
        "application": None,
        "currency": source["currency"],
        "description": about.pop("fee_description", None),
        "type": "stripe_fee",
    }
    return {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": created + 5 * 24 * 3600,
        "balance_type": "payments",
        "created": created,
        "currency": source["currency"],
        "description": about.pop("description", None),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [fee_line] if fee else [],
        "net": amount - fee,
        **about,
        "source": source["id"],
        "status": "pending",
    }
