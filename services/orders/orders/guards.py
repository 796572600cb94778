"""What must fit before an order is fulfilled: the session that was paid against what the customer agreed to."""

from collections.abc import Iterator, Mapping

from events.messaging.contracts import REVIEW_REASONS
from events.messaging.event import Event

from orders.announcements import amount_text
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
    elif not _fits(order, paid["amount_total"], paid.get("total_details") or {}):
        wanted, found = (amount_text(amount, order.currency) for amount in (order.amount_total, paid["amount_total"]))
        yield "amount-mismatch", f"Paid {found}, agreed on {wanted}."
    if bool(paid["livemode"]) != order.livemode:
        yield "livemode-mismatch", f"Paid in {_mode(paid['livemode'])} mode, started in {_mode(order.livemode)} mode."
    if account := event.headers.get("account"):
        yield "account-mismatch", f"Paid to the connected account {account}, not to ours."


def _fits(order: Order, amount_total: int, details: Mapping[str, int | None]) -> bool:
    """Whether the total is the agreed one plus no more than the taxes that Stripe calculated.

    Automatic tax puts exclusive taxes on top of the agreed total, while inclusive ones are within it; both are
    counted in `amount_tax`, and a session may mix them (goods with, shipping without). So the total may exceed what
    was agreed by anything up to the taxes, and never fall short; except by what a promotion code took off, where
    checkout let Stripe's page ask for one.
    """
    extra = max(0, (details.get("amount_discount") or 0) - order.amount_discount) if order.promotion_codes else 0
    agreed = order.amount_total - extra
    return agreed <= amount_total <= agreed + (details.get("amount_tax") or 0)


def _mode(livemode: bool) -> str:
    return "live" if livemode else "test"
