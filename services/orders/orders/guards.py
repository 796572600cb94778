"""What must fit before an order is fulfilled: the session that was paid against what the customer agreed to."""

from collections.abc import Iterator

from events.catalogue import REVIEW_REASONS
from events.envelope import Event

from orders.models import Order

Review = tuple[str, str]  # reason, as the catalogue names it, and a sentence for the person who decides


def review(order: Order, event: Event) -> Review | None:
    """Why this session's payment must not fulfil the order by itself; None when everything fits."""
    found = dict(_mismatches(order, event))
    if not found:
        return None
    return min(found, key=REVIEW_REASONS.index), " ".join(found.values())


def _mismatches(order: Order, event: Event) -> Iterator[Review]:
    paid = event.object
    # Adaptive Pricing charges the shopper in a currency of theirs and tells it in `presentment_details`; the
    # session's own currency and amount stay those that the checkout asked for, and only those are compared.
    if paid["currency"] != order.currency:
        yield "currency-mismatch", f"Paid in {paid['currency']}, agreed in {order.currency}."
    elif not _fits(order, paid["amount_total"], (paid.get("total_details") or {}).get("amount_tax") or 0):
        yield "amount-mismatch", f"Paid {paid['amount_total']}, agreed on {order.amount_total} {order.currency}."
    if bool(paid["livemode"]) != order.livemode:
        yield "livemode-mismatch", f"Paid in {_mode(paid['livemode'])} mode, started in {_mode(order.livemode)} mode."
    if account := event.headers.get("account"):
        yield "account-mismatch", f"Paid to the connected account {account}, not to ours."


def _fits(order: Order, amount_total: int, amount_tax: int) -> bool:
    """Whether the total is the agreed one plus no more than the taxes that Stripe calculated.

    Automatic tax puts exclusive taxes on top of the agreed total, while inclusive ones are within it; both are
    counted in `amount_tax`, and a session may mix them (goods with, shipping without). So the total may exceed what
    was agreed by anything up to the taxes, and never fall short.
    """
    return order.amount_total <= amount_total <= order.amount_total + amount_tax


def _mode(livemode: bool) -> str:
    return "live" if livemode else "test"
