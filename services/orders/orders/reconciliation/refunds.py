"""Comparison of a booked refund with the refund at Stripe."""

from collections.abc import Iterator

from orders.models.orders import Order
from orders.models.refunds import Refund, can_follow
from orders.reconciliation.difference import Difference, describe_amount
from orders.stripe_objects import UNKNOWN_STATUS, StripeObject, currency_of


def compare_refund(order: Order, booked: Refund | None, stripe_refund: StripeObject | None) -> Iterator[Difference]:
    """Yield the differences between the booked refund and the refund at Stripe. One of the two may be None."""
    if stripe_refund is None:
        if booked is not None:
            amount = describe_amount(booked.amount, booked.currency)
            text = f"{amount} is booked as {booked.id}, which Stripe does not know."
            yield _difference(order, "refund-not-at-stripe", text, booked.id)
        return
    amount, status = (
        describe_amount(stripe_refund["amount"], currency_of(stripe_refund)),
        stripe_refund.get("status") or UNKNOWN_STATUS,
    )
    if booked is None:
        text = f"{stripe_refund['id']} of {amount} is {status} at Stripe, but not booked."
        yield _difference(order, "refund-missing", text, stripe_refund["id"], is_repairable=True)
        return
    if (booked.amount, booked.currency) != (stripe_refund["amount"], currency_of(stripe_refund)):
        known = describe_amount(booked.amount, booked.currency)
        text = f"{stripe_refund['id']} is {amount} at Stripe, but {known} is booked."
        yield _difference(order, "refund-differs", text, booked.id)
    if booked.status != status:
        text = f"{stripe_refund['id']} of {amount} is {status} at Stripe, but booked as {booked.status}."
        is_repairable = can_follow(status, booked.status)
        yield _difference(order, "refund-status", text, booked.id, is_repairable=is_repairable)


def _difference(order: Order, kind: str, text: str, refund_id: str, *, is_repairable: bool = False) -> Difference:
    missing_event = "refund.updated" if is_repairable else None
    return Difference(kind, text, order.checkout_id, order.number, refund_id=refund_id, missing_event=missing_event)
