"""Comparison of a booked dispute with the dispute at Stripe."""

from collections.abc import Iterator

from events.money import format_amount

from orders.models.disputes import Dispute
from orders.models.orders import Order
from orders.reconciliation.difference import Difference
from orders.stripe_objects import UNKNOWN_STATUS, StripeObject, currency_of, to_datetime

MISSING_EVENT = "charge.dispute.updated"


def compare_dispute(order: Order, booked: Dispute | None, stripe_dispute: StripeObject | None) -> Iterator[Difference]:
    """Yield the differences between the booked dispute and the one at Stripe. One of the two may be None."""
    if stripe_dispute is None:
        if booked is not None:
            yield _difference(
                order, "dispute-not-at-stripe", f"Stripe does not know the dispute {booked.id}.", booked.id
            )
        return
    dispute_id, status = stripe_dispute["id"], stripe_dispute.get("status") or UNKNOWN_STATUS
    if booked is None:
        amount = format_amount(stripe_dispute["amount"], currency_of(stripe_dispute))
        text = f"The dispute {dispute_id} over {amount} ({status}) is not booked."
        yield _difference(order, "dispute-missing", text, dispute_id, MISSING_EVENT)
        return
    if booked.status != status:
        text = f"{dispute_id} is {status} at Stripe, but booked as {booked.status}."
        yield _difference(order, "dispute-status", text, dispute_id, MISSING_EVENT)
    moved = [movement["id"] for movement in stripe_dispute.get("balance_transactions") or []]
    if missing := [movement for movement in moved if movement not in (booked.movements or {})]:
        text = f"{dispute_id} has movements of money at Stripe that are not booked: {', '.join(missing)}."
        yield _difference(order, "dispute-funds", text, dispute_id, MISSING_EVENT)
    due = (stripe_dispute.get("evidence_details") or {}).get("due_by")
    if due and (booked.evidence_due_by is None or booked.evidence_due_by < to_datetime(due)):
        text = (
            f"The evidence for {dispute_id} is due by {to_datetime(due):%Y-%m-%d %H:%M} UTC at Stripe,"
            " but an earlier deadline or none is booked."
        )
        yield _difference(order, "dispute-deadline", text, dispute_id, MISSING_EVENT)


def recovered_dispute_event_id(stripe_dispute: StripeObject) -> str:
    """Return the id of a recovered dispute event.

    A dispute can have a status twice, so the id also has the number of movements and the evidence's deadline.
    """
    due = (stripe_dispute.get("evidence_details") or {}).get("due_by") or 0
    moved = len(stripe_dispute.get("balance_transactions") or [])
    return f"evt_recovered_{stripe_dispute['id']}_{stripe_dispute.get('status') or UNKNOWN_STATUS}_{moved}_{due}"


def _difference(order: Order, kind: str, text: str, dispute_id: str, missing_event: str | None = None) -> Difference:
    return Difference(kind, text, order.checkout_id, order.number, dispute_id=dispute_id, missing_event=missing_event)
