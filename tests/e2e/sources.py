"""The sources of all sums in e-mails: the fields of Stripe's objects that have each of them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A kind of e-mail that shows a sum, and a function that reads this sum from Stripe's objects."""

    kind: str
    at_stripe: Callable[[dict[str, Any]], int]


# Every sum in an e-mail. A line's price is the one that the session was made with.
SOURCES: Mapping[str, Source] = {
    "subtotal": Source("order_confirmed", lambda stripe: stripe["session"]["amount_subtotal"]),
    "discount": Source("order_confirmed", lambda stripe: -stripe["session"]["total_details"]["amount_discount"]),
    "shipping": Source("order_confirmed", lambda stripe: stripe["session"]["total_details"]["amount_shipping"]),
    "added_tax": Source("order_confirmed", lambda stripe: stripe["lines"][0]["amount_tax"]),
    "included_tax": Source("order_confirmed", lambda stripe: stripe["lines"][1]["amount_tax"]),
    "total": Source("order_confirmed", lambda stripe: stripe["session"]["amount_total"]),
    "statement": Source(
        "order_confirmed", lambda stripe: stripe["session"]["presentment_details"]["presentment_amount"]
    ),
    "line.unit_amount": Source("order_confirmed", lambda stripe: stripe["lines"][0]["price"]["unit_amount"]),
    "line.unit_amount * line.quantity": Source("order_confirmed", lambda stripe: stripe["lines"][0]["amount_subtotal"]),
    "paid": Source("refund_succeeded", lambda stripe: sum(each["amount_captured"] for each in stripe["charges"])),
    "refund": Source("refund_succeeded", lambda stripe: stripe["refunds"][-1]["amount"]),
    "refund_statement": Source(
        "refund_succeeded", lambda stripe: stripe["refunds"][-1]["presentment_details"]["presentment_amount"]
    ),
    "refunded": Source("refund_succeeded", lambda stripe: sum(refund["amount"] for refund in stripe["refunds"])),
    "disputed": Source("staff_dispute_closed", lambda stripe: stripe["disputes"][0]["amount"]),
    "held": Source(
        "staff_dispute_closed",
        lambda stripe: -sum(moved["amount"] for moved in stripe["disputes"][0]["balance_transactions"]),
    ),
}
STATEMENTS = ("statement", "refund_statement")  # the sums in the currency of the customer's bank
