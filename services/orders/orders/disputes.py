"""Disputes as Stripe's events report them, in any order.

The strongest status counts. When the bank withdrew the money and when it reinstated the money are separate facts.
"""

from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from events.money import format_amount
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.models.disputes import Dispute, DisputeStatus
from orders.models.orders import Order, OrderDisputeStatus
from orders.models.timeline import EntryKind
from orders.publishing import publish
from orders.stripe_objects import StripeObject, to_datetime
from orders.timeline import add_entry

WITHDRAWN_EVENT, REINSTATED_EVENT = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"
RESULT_TEXTS = {
    DisputeStatus.WON: "The shop won and keeps the money",
    DisputeStatus.LOST: "The shop lost and the customer keeps the money",
    DisputeStatus.WARNING_CLOSED: "The inquiry did not become a dispute",
    DisputeStatus.PREVENTED: "The payment was refunded before it became a dispute",
    DisputeStatus.CHARGE_REFUNDED: "The payment was refunded",
}


def record_dispute(session: Session, order: Order, obj: StripeObject, cause: Cause) -> None:
    """Record Stripe's dispute `obj`: its status, deadline and funds, the timeline, the events.

    The order must be locked.
    """
    is_new = insert_once(
        session,
        Dispute,
        id=obj["id"],
        order_id=order.id,
        payment_id=obj["payment_intent"],
        status=obj["status"],
        currency=obj["currency"],
        amount=obj["amount"],
        reason=obj["reason"],
        opened_at=to_datetime(obj["created"]),
    )
    dispute = session.get_one(Dispute, obj["id"])
    was_closed = dispute.is_closed and not is_new
    moved = _record_funds(dispute, obj, cause)
    has_new_deadline = _extend_deadline(dispute, obj)
    has_new_status = dispute.advance_status(obj["status"]) or is_new
    if not (has_new_status or moved or has_new_deadline):
        return
    _update_order(session, order)
    closes = has_new_status and dispute.is_closed
    if closes and not was_closed:
        dispute.closed_at = cause.occurred_at
    entries = _entries(
        dispute, is_new=is_new, has_new_status=has_new_status, moved=moved, has_new_deadline=has_new_deadline
    )
    for kind, text in entries:
        add_entry(session, order, cause, kind, text)
    verb = "closed" if closes else "opened" if is_new else "updated"
    publish(session, order, f"orders.dispute.{verb}", cause, **_event_fields(dispute))


def _record_funds(dispute: Dispute, obj: StripeObject, cause: Cause) -> list[EntryKind]:
    """Record when the bank withdrew and reinstated the funds; return the movements that are new.

    Stripe reports a movement by the event's type and in the dispute's balance transactions.
    """
    movements = [(to_datetime(one["created"]), one["amount"]) for one in obj.get("balance_transactions") or []]
    withdrawn = [at for at, amount in movements if amount < 0]
    reinstated = [at for at, amount in movements if amount > 0]
    event_type = cause.event.type if cause.event else None
    withdrawn += [cause.occurred_at] if event_type == WITHDRAWN_EVENT else []
    reinstated += [cause.occurred_at] if event_type == REINSTATED_EVENT else []
    moved = [
        kind
        for kind, found, known in (
            (EntryKind.DISPUTE_FUNDS_WITHDRAWN, withdrawn, dispute.funds_withdrawn_at),
            (EntryKind.DISPUTE_FUNDS_REINSTATED, reinstated, dispute.funds_reinstated_at),
        )
        if found and known is None
    ]
    dispute.funds_withdrawn_at = _earliest(dispute.funds_withdrawn_at, *withdrawn)
    dispute.funds_reinstated_at = _earliest(dispute.funds_reinstated_at, *reinstated)
    return moved


def _extend_deadline(dispute: Dispute, obj: StripeObject) -> bool:
    """Record the deadline for evidence if it is later than the known one; return True if it is."""
    due_by = (obj.get("evidence_details") or {}).get("due_by")
    if not due_by or (dispute.evidence_due_by and dispute.evidence_due_by >= to_datetime(due_by)):
        return False
    dispute.evidence_due_by = to_datetime(due_by)
    return True


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((instant for instant in instants if instant is not None), default=None)


def _update_order(session: Session, order: Order) -> None:
    """Derive the order's dispute status again: open, lost, inquiry, won or none, the first that applies."""
    session.flush()
    disputes = session.scalars(select(Dispute).where(Dispute.order_id == order.id)).all()
    not_closed = [dispute for dispute in disputes if not dispute.is_closed]
    statuses = {dispute.status for dispute in disputes}
    if any(not dispute.is_inquiry for dispute in not_closed):
        order.dispute_status = OrderDisputeStatus.OPEN
    elif DisputeStatus.LOST in statuses:
        order.dispute_status = OrderDisputeStatus.LOST
    elif not_closed:
        order.dispute_status = OrderDisputeStatus.INQUIRY
    elif DisputeStatus.WON in statuses:
        order.dispute_status = OrderDisputeStatus.WON
    else:
        order.dispute_status = OrderDisputeStatus.NONE


def _event_fields(dispute: Dispute) -> dict[str, Any]:
    return {
        "dispute_id": dispute.id,
        "dispute_status": dispute.status,
        "dispute_amount": dispute.amount,
        "dispute_reason": dispute.reason,
        "evidence_due_by": dispute.evidence_due_by,
        "funds_withdrawn": dispute.funds_withdrawn,
    }


def _entries(
    dispute: Dispute, *, is_new: bool, has_new_status: bool, moved: list[EntryKind], has_new_deadline: bool
) -> list[tuple[EntryKind, str]]:
    """Return the timeline entries for what has changed."""
    amount, reason = format_amount(dispute.amount, dispute.currency), dispute.reason.replace("_", " ")
    entries: list[tuple[EntryKind, str]] = []
    if is_new and not dispute.is_closed:
        action = "asks about" if dispute.is_inquiry else "disputes"
        text = f"The customer's bank {action} {amount}. Reason: {reason} ({dispute.id})."
        entries.append((EntryKind.DISPUTE_OPENED, text))
    elif has_new_status and not dispute.is_closed:
        text = f"The dispute {dispute.id} is now: {dispute.status.replace('_', ' ')}."
        entries.append((EntryKind.DISPUTE_UPDATED, text))
    if has_new_deadline and not dispute.is_closed:
        text = f"Please send the evidence for {dispute.id} by {dispute.evidence_due_by:%Y-%m-%d %H:%M} UTC."
        entries.append((EntryKind.DISPUTE_EVIDENCE_DUE, text))
    if EntryKind.DISPUTE_FUNDS_WITHDRAWN in moved:
        text = f"The bank withdrew {amount} from the shop for {dispute.id}."
        entries.append((EntryKind.DISPUTE_FUNDS_WITHDRAWN, text))
    if EntryKind.DISPUTE_FUNDS_REINSTATED in moved:
        entries.append(
            (EntryKind.DISPUTE_FUNDS_REINSTATED, f"The bank returned {amount} to the shop for {dispute.id}.")
        )
    if has_new_status and dispute.is_closed:
        result = RESULT_TEXTS[DisputeStatus(dispute.status)]
        entries.append((EntryKind.DISPUTE_CLOSED, f"The dispute {dispute.id} over {amount} is closed. {result}."))
    return entries
