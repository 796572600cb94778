"""The amounts of an e-mail, written as money in the reader's language.

The amounts that Stripe charged replace the agreed ones: the two are never mixed. Until the customer completes the
checkout, its amounts are the agreed ones. The sums of payments and refunds are in the order's currency, but a single
payment or refund can be in another one. An e-mail about such a refund, or about an order with such a payment, shows
neither sum.
"""

from collections.abc import Mapping
from typing import Any

from notifications.localization import Language

Data = Mapping[str, Any]  # an event's data, as JSON values

OPTIONAL = (
    "discount",
    "shipping",
    "added_tax",
    "included_tax",
    "statement",
    "paid",
    "refunded",
    "refund_statement",
    "held",
)  # "" if there is none


def format_amounts(data: Data, language: Language) -> dict[str, str]:
    """Return the amounts of an event as text, by the names that texts and templates use.

    An amount in `OPTIONAL` is empty if it is zero or not known.
    """
    currency = data.get("currency", "")
    found: dict[str, tuple[int | None, str]] = {}
    if "currency" in data:  # the event of an order
        found |= _order_amounts(data)
    refund_currency = data.get("refund_currency") or currency
    has_other_currency = data.get("has_other_currencies") or refund_currency != currency
    found["paid"] = None if has_other_currency else data.get("amount_paid"), currency
    found["refunded"] = None if has_other_currency else data.get("amount_refunded"), currency
    if "refund_amount" in data:
        found["refund"] = data["refund_amount"], data.get("refund_currency") or currency
        found["refund_statement"] = data.get("presentment_amount"), data.get("presentment_currency") or currency
    if "dispute_amount" in data:
        disputed_in = data.get("dispute_currency") or currency
        found["disputed"] = data["dispute_amount"], disputed_in
        found["held"] = data.get("amount_held"), disputed_in
    return {
        name: language.money(amount, its_currency) if amount or (amount is not None and name not in OPTIONAL) else ""
        for name, (amount, its_currency) in found.items()
    }


def _order_amounts(data: Data) -> dict[str, tuple[int | None, str]]:
    charged = charged_amounts(data)
    currency, tax = charged["currency"], charged.get("amount_tax") or 0
    added_tax = max(0, charged["amount_total"] - _total_without_added_tax(charged)) if tax else 0
    return {
        "subtotal": (charged["amount_subtotal"], currency),
        "discount": (-charged["amount_discount"], currency),
        "shipping": (charged["amount_shipping"], currency),
        "added_tax": (added_tax, currency),
        "included_tax": (tax - added_tax, currency),
        "total": (charged["amount_total"], currency),
        "statement": (charged.get("presentment_amount"), charged.get("presentment_currency") or currency),
    }


def charged_amounts(data: Data) -> Data:
    """Return the amounts that Stripe charges, or the agreed ones until the customer has completed the checkout."""
    return data.get("charged") or data


def _total_without_added_tax(amounts: Data) -> int:
    total: int = amounts["amount_subtotal"] - amounts["amount_discount"] + amounts["amount_shipping"]
    return total
