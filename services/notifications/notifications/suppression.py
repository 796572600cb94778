"""Suppression: a mail that became stale before it was sent is not sent. And the sums that refund mails show.

The checkout's outcome or another mail can make a mail stale (kinds.py). Events come out of order, so the stale mail may
be queued before or after its cause. A resend is an operator's decision and is never suppressed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from notifications.kinds import STALE_AFTER_MAIL, STALE_AFTER_OUTCOME, Kind
from notifications.models import PENDING, SENDING, SENT, SUPPRESSED, UNKNOWN, Checkout, Email, subject_of


def suppress_stale(session: Session, checkouts: Sequence[Checkout]) -> None:
    """Suppress the stale pending mails of these checkouts. The checkouts' rows must be locked."""
    for email_id, reason in _stale(session, {checkout.checkout_id: checkout.outcome for checkout in checkouts}):
        session.execute(
            update(Email)
            .where(Email.id == email_id, Email.status == PENDING)  # a sender may have claimed it in the meantime
            .values(status=SUPPRESSED, next_attempt_at=None, error=reason)
        )


def _stale(session: Session, outcomes: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    columns = (
        *(Email.id, Email.kind, Email.checkout_id, Email.subject_key, Email.status, Email.resend_of),
        Email.event_data,
    )
    rows = session.execute(select(*columns).where(Email.checkout_id.in_(outcomes))).all()
    causes: dict[tuple[str, str, str], tuple[str, str]] = {}  # the kind of the last cause, after its time
    for row in rows:
        for kind in STALE_AFTER_MAIL.get(row.kind, ()):
            key = (row.checkout_id, kind, subject_of(row.subject_key))
            causes[key] = max(causes.get(key, ("", "")), (_occurred_at(row.event_data), row.kind))
    for row in rows:
        outcome = outcomes[row.checkout_id]
        if row.status != PENDING or row.resend_of:
            continue
        if row.kind in STALE_AFTER_OUTCOME.get(outcome, ()):
            yield row.id, f"the order is {outcome}"
            continue
        occurred_at, cause = causes.get((row.checkout_id, row.kind, subject_of(row.subject_key)), ("", ""))
        # An appeal is news after the dispute was closed. Other causes are never older than what they replace.
        if cause and (cause != Kind.STAFF_DISPUTE_CLOSED or occurred_at >= _occurred_at(row.event_data)):
            yield row.id, f"replaced by {cause}"


def _occurred_at(event_data: Mapping[str, Any] | None) -> str:
    """Return the time of a mail's event, as sortable text in UTC; nothing for an erased one."""
    found = (event_data or {}).get("occurred_at")
    return datetime.fromisoformat(found).astimezone(UTC).isoformat(timespec="microseconds") if found else ""


def is_announced(session: Session, email: Email) -> bool:
    """Return True if the customer was informed, or perhaps was, that the refund of this mail had succeeded."""
    announcements = session.scalars(
        select(Email).where(Email.checkout_id == email.checkout_id, Email.kind == Kind.REFUND_SUCCEEDED)
    )
    return any(
        (one.status in (SENT, SENDING, UNKNOWN) or one.handovers)
        and subject_of(one.subject_key) == subject_of(email.subject_key)
        for one in announcements
    )


def refund_sums(session: Session, email: Email) -> Mapping[str, int | None]:
    """Return what is refunded and paid, from all events about refunds of the order, in any order of their arrival.

    Their times do not order them: some are Stripe's in whole seconds, others are ours. Each refund counts once, and
    not if it failed. An event's sum also contains refunds whose own events have not arrived yet.
    """
    rows = session.execute(
        select(Email.kind, Email.event_data).where(
            Email.checkout_id == email.checkout_id, Email.kind.in_((Kind.REFUND_SUCCEEDED, Kind.STAFF_REFUND_FAILED))
        )
    ).all()
    failed = {data["refund_id"]: _own_amount(data) for kind, data in rows if kind == Kind.STAFF_REFUND_FAILED}
    succeeded = {data["refund_id"]: _own_amount(data) for _, data in rows if data["refund_id"] not in failed}
    reported = max((data["amount_refunded"] for kind, data in rows if kind == Kind.REFUND_SUCCEEDED), default=0)
    paid = [data["amount_paid"] for _, data in rows if data.get("amount_paid") is not None]
    return {
        "amount_refunded": max(sum(succeeded.values()), reported - sum(failed.values())),
        "amount_paid": max(paid, default=None),
    }


def _own_amount(data: Mapping[str, Any]) -> int:
    """Return a refund's amount if it is in the order's currency, as the order's sums are."""
    amount: int = data["refund_amount"]
    return amount if (data.get("refund_currency") or data["currency"]) == data["currency"] else 0
