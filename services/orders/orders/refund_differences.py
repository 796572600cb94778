"""How the booked refunds differ from Stripe's, to the minor unit, and which of them an event would mend."""

from collections.abc import Iterator

from orders.announcements import amount_text
from orders.differences import Difference
from orders.models import REFUND_STATUSES, Order, Refund
from orders.stripe_client import Object


def compare_refund(order: Order, booked: Refund | None, found: Object | None) -> Iterator[Difference]:
    """One refund, as it is booked and as it was found at Stripe."""
    if found is None:
        if booked is not None:
            text = f"{_words(booked.amount, booked.currency)} are booked as {booked.id}, which Stripe does not know."
            yield _differs(order, "refund-not-at-stripe", text, booked.id)
        return
    amount, status = _words(found["amount"], found["currency"]), found["status"]
    if booked is None:
        text = f"Stripe refunded {amount} with {found['id']} ({status}), which is not booked."
        yield _differs(order, "refund-missing", text, found["id"], heals=True)
        return
    if (booked.amount, booked.currency) != (found["amount"], found["currency"]):
        known = _words(booked.amount, booked.currency)
        yield _differs(
            order, "refund-differs", f"{found['id']} is {amount} at Stripe, but {known} are booked.", booked.id
        )
    if booked.status != status:
        text = f"{found['id']} of {amount} is {status} at Stripe, but {booked.status} here."
        later = REFUND_STATUSES.index(status) > REFUND_STATUSES.index(booked.status)
        yield _differs(order, "refund-status", text, booked.id, heals=later)


def _differs(order: Order, kind: str, text: str, refund_id: str, *, heals: bool = False) -> Difference:
    return Difference(
        kind, text, order.checkout_id, order.number, refund_id=refund_id, fact="refund.updated" if heals else None
    )


def _words(amount: int, currency: str) -> str:
    return f"{amount} {currency} ({amount_text(amount, currency)})"
