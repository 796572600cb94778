"""Disputes as Stripe tells of them, in any order: the strongest status counts; money that moved is its own fact."""

from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.announcements import Cause, amount_text, announce, note
from orders.models import Dispute, Order
from orders.models.orders import NONE
from orders.stripe_client import moment

WITHDRAWN, REINSTATED = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"
INQUIRY, OPEN, WON, LOST = "inquiry", "open", "won", "lost"
STATUSES = (NONE, INQUIRY, OPEN, WON, LOST)  # of an order
ENDS = {
    "won": "won, the shop keeps the money",
    "lost": "lost, the customer keeps the money",
    "warning_closed": "the inquiry led to nothing",
    "prevented": "it was refunded before it became a dispute",
    "charge_refunded": "the charge was refunded",
}


def record_dispute(session: Session, order: Order, obj: dict[str, Any], cause: Cause) -> None:
    """Book what an event says of a dispute. `obj` is Stripe's dispute; the order is locked."""
    new = insert_once(
        session,
        Dispute,
        id=obj["id"],
        order_id=order.id,
        payment_id=obj["payment_intent"],
        status=obj["status"],
        currency=obj["currency"],
        amount=obj["amount"],
        reason=obj["reason"],
        opened_at=moment(obj["created"]),
    )
    dispute = session.get_one(Dispute, obj["id"])
    was_over = dispute.is_over and not new
    moved = _move_funds(dispute, obj, cause)
    due = _extend(dispute, obj)
    became = dispute.become(obj["status"]) or new
    if not (became or moved or due):
        return
    _derive_status(session, order)
    closed = became and dispute.is_over
    if closed and not was_over:
        dispute.closed_at = cause.at
    for kind, text in _sentences(dispute, new=new, became=became, moved=moved, due=due):
        note(session, order, cause, f"dispute-{kind}", text)
    kind = "closed" if closed else "opened" if new else "updated"
    announce(session, order, f"orders.dispute.{kind}", cause, **_told(dispute))


def _move_funds(dispute: Dispute, obj: dict[str, Any], cause: Cause) -> list[str]:
    """When the bank took the money, and gave it back: by the event's name or the movements that the dispute lists."""
    moves = [(moment(one["created"]), one["amount"]) for one in obj.get("balance_transactions") or []]
    out = [at for at, amount in moves if amount < 0]
    back = [at for at, amount in moves if amount > 0]
    kind = cause.event.type if cause.event else None
    out += [cause.at] if kind == WITHDRAWN else []
    back += [cause.at] if kind == REINSTATED else []
    moved = [
        name
        for name, found, known in (
            ("withdrawn", out, dispute.funds_withdrawn_at),
            ("reinstated", back, dispute.funds_reinstated_at),
        )
        if found and known is None
    ]
    dispute.funds_withdrawn_at = _earliest(dispute.funds_withdrawn_at, *out)
    dispute.funds_reinstated_at = _earliest(dispute.funds_reinstated_at, *back)
    return moved


def _extend(dispute: Dispute, obj: dict[str, Any]) -> bool:
    """The deadline, of which only the latest holds."""
    due_by = (obj.get("evidence_details") or {}).get("due_by")
    if not due_by or (dispute.evidence_due_by and dispute.evidence_due_by >= moment(due_by)):
        return False
    dispute.evidence_due_by = moment(due_by)
    return True


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((at for at in moments if at is not None), default=None)


def _derive_status(session: Session, order: Order) -> None:
    session.flush()
    disputes = session.scalars(select(Dispute).where(Dispute.order_id == order.id)).all()
    running = [dispute for dispute in disputes if not dispute.is_over]
    statuses = {dispute.status for dispute in disputes}
    if any(not dispute.is_inquiry for dispute in running):
        order.dispute_status = OPEN
    elif LOST in statuses:
        order.dispute_status = LOST
    elif running:
        order.dispute_status = INQUIRY
    else:
        order.dispute_status = WON if WON in statuses else NONE


def _told(dispute: Dispute) -> dict[str, Any]:
    return {
        "dispute_id": dispute.id,
        "dispute_status": dispute.status,
        "dispute_amount": dispute.amount,
        "dispute_reason": dispute.reason,
        "evidence_due_by": dispute.evidence_due_by,
        "funds_withdrawn": dispute.funds_withdrawn,
    }


def _sentences(dispute: Dispute, *, new: bool, became: bool, moved: list[str], due: bool) -> list[tuple[str, str]]:
    amount, reason = amount_text(dispute.amount, dispute.currency), dispute.reason.replace("_", " ")
    told: list[tuple[str, str]] = []
    if new and not dispute.is_over:
        what = "asks about" if dispute.is_inquiry else "wants back"
        told.append(("opened", f"The customer's bank {what} {amount}: {reason} ({dispute.id})."))
    elif became and not dispute.is_over:
        told.append(("updated", f"The dispute {dispute.id} is now: {dispute.status.replace('_', ' ')}."))
    if due and not dispute.is_over:
        told.append(("due", f"Evidence for {dispute.id} is due by {dispute.evidence_due_by:%Y-%m-%d %H:%M} UTC."))
    if "withdrawn" in moved:
        told.append(("funds-withdrawn", f"{amount} were taken from the shop for {dispute.id}."))
    if "reinstated" in moved:
        told.append(("funds-reinstated", f"{amount} came back to the shop from {dispute.id}."))
    if became and dispute.is_over:
        end = ENDS.get(dispute.status, dispute.status)
        told.append(("closed", f"The dispute {dispute.id} over {amount} ended: {end}."))
    return told
