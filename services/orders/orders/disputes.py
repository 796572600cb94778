"""Disputes as Stripe's events report them, in any order.

The status that Stripe reported last counts, because a lost dispute can be appealed and won. The sums that the bank
withdrew and reinstated do not follow from the status: a partly won dispute has the status `lost`, although a part of
its money came back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from events.database.transaction import insert_once
from events.money import format_amount
from sqlalchemy import select
from sqlalchemy.orm import Session

from orders.causes import Cause
from orders.goods import succeeded_payments
from orders.models.disputes import Dispute, DisputeStatus
from orders.models.orders import Order, OrderDisputeStatus
from orders.models.timeline import EntryKind
from orders.publishing import publish
from orders.stripe_objects import UNKNOWN_STATUS, StripeObject, created_at_of, currency_of, to_datetime
from orders.timeline import add_entry
from orders.totals import refundable_amount

WITHDRAWN_EVENT, REINSTATED_EVENT = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"
MOVEMENT_FIELDS = ("amount", "created", "currency")  # of a balance transaction
RESULT_TEXTS = {
    DisputeStatus.WON: "The shop won and keeps the money",
    DisputeStatus.LOST: "The shop lost and the customer keeps the money",
    DisputeStatus.WARNING_CLOSED: "It did not become a dispute",
    DisputeStatus.PREVENTED: "A refund of the payment prevented the dispute",
    DisputeStatus.CHARGE_REFUNDED: "The payment was refunded",
}


def book_dispute(session: Session, order: Order, stripe_dispute: StripeObject, cause: Cause) -> None:
    """Book Stripe's dispute: its status, deadline and funds, and the order's dispute status.

    If something is new, add timeline entries and publish one event. The order must be locked.
    """
    status = stripe_dispute.get("status") or UNKNOWN_STATUS
    is_new = insert_once(
        session,
        Dispute,
        id=stripe_dispute["id"],
        order_id=order.id,
        payment_id=stripe_dispute["payment_intent"],
        status=status,
        status_at=cause.occurred_at,
        currency=currency_of(stripe_dispute),
        amount=stripe_dispute["amount"],
        reason=stripe_dispute.get("reason") or "general",
        opened_at=created_at_of(stripe_dispute, cause.occurred_at),
    )
    if is_new:
        session.expire(order, ["disputes"])
    dispute = session.get_one(Dispute, stripe_dispute["id"])
    was_closed = dispute.is_closed and not is_new
    has_new_status = dispute.record_status(status, cause.occurred_at) or is_new
    moved = _record_funds(dispute, stripe_dispute, cause)
    has_new_deadline = _extend_deadline(dispute, stripe_dispute)
    if not (has_new_status or moved or has_new_deadline):
        return
    _update_order(session, order)
    closes = has_new_status and dispute.is_closed
    if closes and not was_closed:
        dispute.closed_at = cause.occurred_at
    elif not dispute.is_closed:
        dispute.closed_at = None  # an appeal opens the dispute again
    for kind, text in _entries(
        dispute, is_new=is_new, has_new_status=has_new_status, moved=moved, has_new_deadline=has_new_deadline
    ):
        add_entry(session, order, cause, kind, text)
    verb = "closed" if closes else "opened" if is_new else "updated"
    fields = _event_fields(dispute) | {"is_refund_due": _is_refund_due(session, order)}
    publish(session, order, f"orders.dispute.{verb}", cause, **fields)


def _record_funds(dispute: Dispute, stripe_dispute: StripeObject, cause: Cause) -> list[tuple[EntryKind, int | None]]:
    """Record what the bank withdrew and reinstated; return the movements that are new, with their amounts.

    Stripe reports a movement in the dispute's balance transactions and by the event's type. The sums come from the
    transactions. An amount is None if only the event's type reports the movement.
    """
    listed: dict[str, StripeObject] = {
        _movement_id(movement): movement
        for movement in stripe_dispute.get("balance_transactions") or []
        if isinstance(movement, dict)
    }
    known = dispute.movements or {}
    found: dict[str, StripeObject] = {
        key: {name: movement.get(name) for name in MOVEMENT_FIELDS}
        for key, movement in listed.items()
        if key not in known
    }
    before = dispute.amount_withdrawn or 0, dispute.amount_reinstated or 0
    flags = dispute.funds_withdrawn_at is not None, dispute.funds_reinstated_at is not None
    dispute.movements = known | found
    event_type = cause.event.type if cause.event else None
    for name, sign, type_ in (
        ("funds_withdrawn_at", -1, WITHDRAWN_EVENT),
        ("funds_reinstated_at", 1, REINSTATED_EVENT),
    ):
        times = [to_datetime(movement["created"]) for movement in found.values() if movement["amount"] * sign > 0]
        times += [cause.occurred_at] if event_type == type_ else []
        setattr(dispute, name, _earliest(getattr(dispute, name), *times))
    _update_sums(dispute)
    return _new_movements(dispute, before, flags)


def _new_movements(
    dispute: Dispute, before: tuple[int, int], flags: tuple[bool, bool]
) -> list[tuple[EntryKind, int | None]]:
    """Return the kinds of movement that are new since `before` (the sums) and `flags`, with the new amounts.

    An amount is None if only the event's type reports the movement.
    """
    moved: list[tuple[EntryKind, int | None]] = []
    for kind, sum_now, sum_before, flag_now, flag_before in (
        (
            EntryKind.DISPUTE_FUNDS_WITHDRAWN,
            dispute.amount_withdrawn or 0,
            before[0],
            dispute.funds_withdrawn_at is not None,
            flags[0],
        ),
        (
            EntryKind.DISPUTE_FUNDS_REINSTATED,
            dispute.amount_reinstated or 0,
            before[1],
            dispute.funds_reinstated_at is not None,
            flags[1],
        ),
    ):
        if sum_now > sum_before:
            moved.append((kind, sum_now - sum_before))
        elif flag_now and not flag_before:
            moved.append((kind, None))
    return moved


def _movement_id(transaction: StripeObject) -> str:
    return str(transaction.get("id") or f"{transaction['created']}:{transaction['amount']}")


def _update_sums(dispute: Dispute) -> None:
    """Derive the dispute's amounts again from its movements.

    If Stripe listed no withdrawal, derive them from the status and from the events about funds.
    """
    amount, movements = dispute.amount, list((dispute.movements or {}).values())
    if any(movement["amount"] < 0 for movement in movements):
        withdrawn, withheld = _withdrawn_and_withheld(amount, movements)
        is_converted = any(movement["currency"] not in (None, dispute.currency) for movement in movements)
        if dispute.status == DisputeStatus.WON and is_converted and withheld < withdrawn:
            withheld = 0  # all came back, and only the exchange rate differs
    elif dispute.status == DisputeStatus.LOST or dispute.funds_withdrawn_at is not None:
        withdrawn = amount
        withheld = 0 if dispute.funds_reinstated_at is not None and dispute.status != DisputeStatus.LOST else amount
    else:
        withdrawn = withheld = 0
    dispute.amount_withdrawn, dispute.amount_reinstated, dispute.amount_held = withdrawn, withdrawn - withheld, withheld


def _withdrawn_and_withheld(amount: int, movements: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return what the bank withdrew in all, and what it still withholds, in the dispute's currency.

    The movements are in the currency of the payout, so only their ratio counts: the most that the bank ever withheld at
    once is the disputed amount. The part that it still withholds is rounded up.
    """
    running = most = withdrawn = 0
    # Stripe's times have a resolution of one second: within it, the bank withdraws before it returns.
    for movement in sorted(movements, key=lambda each: (each["created"], each["amount"])):
        running -= movement["amount"]
        withdrawn += max(0, -movement["amount"])
        most = max(most, running)
    if most <= 0:
        return amount, 0
    withheld = min(amount, -(-max(0, running) * amount // most))
    return max(withheld, withdrawn * amount // most), withheld


def _extend_deadline(dispute: Dispute, stripe_dispute: StripeObject) -> bool:
    """Record the deadline for evidence if it is later than the known one; return True if it is."""
    due_by = (stripe_dispute.get("evidence_details") or {}).get("due_by")
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


def _is_refund_due(session: Session, order: Order) -> bool:
    """Return True if a canceled order has money that neither a refund nor a bank has taken, in any currency."""
    return order.fulfillment_canceled_at is not None and any(
        refundable_amount(session, payment) for payment in succeeded_payments(order)
    )


def _event_fields(dispute: Dispute) -> dict[str, Any]:
    return {
        "dispute_id": dispute.id,
        "dispute_status": dispute.status,
        "dispute_amount": dispute.amount,
        "dispute_currency": dispute.currency,
        "dispute_reason": dispute.reason,
        "evidence_due_by": dispute.evidence_due_by,
        "funds_withdrawn": dispute.funds_withdrawn,
        "amount_held": dispute.amount_held,
    }


def _entries(
    dispute: Dispute,
    *,
    is_new: bool,
    has_new_status: bool,
    moved: Sequence[tuple[EntryKind, int | None]],
    has_new_deadline: bool,
) -> list[tuple[EntryKind, str]]:
    """Return the kinds and texts of the timeline entries for what has changed."""
    amount, reason = format_amount(dispute.amount, dispute.currency), dispute.reason.replace("_", " ")
    name = f"The {'inquiry' if dispute.is_inquiry else 'dispute'} {dispute.id}"
    entries: list[tuple[EntryKind, str]] = []
    if is_new and not dispute.is_closed:
        action = "asks about" if dispute.is_inquiry else "disputes"
        text = f"The customer's bank {action} {amount}. Reason: {reason} ({dispute.id})."
        entries.append((EntryKind.DISPUTE_OPENED, text))
    elif has_new_status and not dispute.is_closed:
        text = f"{name} is now: {dispute.status.replace('_', ' ')}."
        entries.append((EntryKind.DISPUTE_UPDATED, text))
    if has_new_deadline and not dispute.is_closed:
        text = f"Please send the evidence for {dispute.id} by {dispute.evidence_due_by:%Y-%m-%d %H:%M} UTC."
        entries.append((EntryKind.DISPUTE_EVIDENCE_DUE, text))
    for kind, minor in moved:
        sum_ = format_amount(dispute.amount if minor is None else minor, dispute.currency)
        if kind == EntryKind.DISPUTE_FUNDS_WITHDRAWN:
            entries.append((kind, f"The bank withdrew {sum_} from the shop for {dispute.id}."))
        else:
            entries.append((kind, f"The bank returned {sum_} to the shop for {dispute.id}."))
    if has_new_status and dispute.is_closed:
        result = _result_text(dispute)
        entries.append((EntryKind.DISPUTE_CLOSED, f"{name} over {amount} is closed. {result}."))
    return entries


def _result_text(dispute: Dispute) -> str:
    returned = dispute.amount_reinstated or 0
    if dispute.status == DisputeStatus.LOST and returned:
        return f"The shop lost only a part and got {format_amount(returned, dispute.currency)} back"
    return RESULT_TEXTS[DisputeStatus(dispute.status)]
