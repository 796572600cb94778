"""What a payment must agree with before anything is fulfilled."""

from collections.abc import Iterator, Mapping
from typing import Any

from orders.models import Order


def mismatches(order: Order, session: Mapping[str, Any], account: str | None) -> Iterator[tuple[str, str]]:
    """(reason, detail) for each way in which a paid session is not what the checkout agreed on.

    Compared in the session's own currency: Adaptive Pricing shows the shopper another one in
    `presentment_details` and leaves amount and currency of the session alone. Tax that Stripe adds at its page is
    not in the checkout's total, so a total that exceeds it by just that tax agrees too.
    """
    if session["currency"] != order.currency:
        yield "currency-mismatch", f"paid in {session['currency']}, agreed on {order.currency}"
    elif session["amount_total"] not in _agreed(order, session):
        yield "amount-mismatch", f"paid {session['amount_total']}, agreed on {order.amount_total} {order.currency}"
    if bool(session["livemode"]) is not order.livemode:
        yield "livemode-mismatch", f"paid with livemode {session['livemode']}, started with {order.livemode}"
    if account is not None:
        yield "account-mismatch", f"paid to the connected account {account}, not to this shop's own"


def _agreed(order: Order, session: Mapping[str, Any]) -> tuple[int, int]:
    tax = (session.get("total_details") or {}).get("amount_tax") or 0
    return order.amount_total, order.amount_total + tax
