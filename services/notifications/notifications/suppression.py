"""Suppression: an e-mail that became stale before it was sent is not sent.

The checkout's outcome or another e-mail can make an e-mail stale (kinds.py). Events come out of order, so the stale
e-mail may be queued before or after its cause. No event makes a resend stale, because it is an operator's decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.messaging.contracts.reviews import ReviewDecision
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from notifications.kinds import STALE_AFTER_MAIL, STALE_AFTER_OUTCOME, TIMELESS_CAUSES, Kind
from notifications.models import PENDING, SUPPRESSED, CheckoutFacts, Email, subject_of
from notifications.wording import is_fully_refunded, refunds_only_duplicates

REFUND_DECISION = "refund"  # the subject of e-mails about a review's refund: the decision and the refund itself
WHOLE_ORDER = "order"  # the subject of e-mails about an order as a whole: a checkout has one, so this needs no id
WHOLE_SECONDS = len("2026-11-02T10:00:00")  # of a time as text


def suppress_stale(session: Session, checkouts: Sequence[CheckoutFacts]) -> None:
    """Suppress the stale pending e-mails of these checkouts. The checkouts' rows must be locked."""
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
            if (subject := _subject_of_cause(row, kind)) is None:
                continue
            key = (row.checkout_id, kind, subject)
            causes[key] = max(causes.get(key, ("", "")), (_occurred_at(row.event_data), row.kind))
    for row in rows:
        outcome = outcomes[row.checkout_id]
        if row.status != PENDING or row.resend_of:
            continue
        if row.kind in STALE_AFTER_OUTCOME.get(outcome, ()):
            yield row.id, f"the order is {outcome}"
            continue
        occurred_at, cause = causes.get((row.checkout_id, row.kind, _subject_of_stale(row)), ("", ""))
        if cause and _is_newer(cause, occurred_at, row.kind, _occurred_at(row.event_data)):
            yield row.id, f"replaced by {cause}"


def _subject_of_cause(row: Any, stale_kind: str) -> str | None:
    """Return the subject of the e-mails of a kind that this e-mail makes stale; None if it makes none stale."""
    data: Mapping[str, Any] = row.event_data or {}
    match row.kind, stale_kind:
        case Kind.STAFF_DISPUTE_CLOSED, Kind.STAFF_DISPUTE_CLOSED:
            return _result_of(row)
        case Kind.REFUND_SUCCEEDED, Kind.ORDER_CANCELED:
            return REFUND_DECISION if data.get("review_reason") and row.status != SUPPRESSED else None
        case Kind.REFUND_SUCCEEDED, _:
            return WHOLE_ORDER if is_fully_refunded(data) else None
        case Kind.ORDER_SHIPPED, _:
            return WHOLE_ORDER if data["is_complete"] else None
        case Kind.ORDER_CANCELED, _:
            return None if refunds_only_duplicates(data) else WHOLE_ORDER
    return subject_of(row.subject_key)


def _subject_of_stale(row: Any) -> str:
    if row.kind == Kind.ORDER_CANCELED and (row.event_data or {}).get("decision") == ReviewDecision.REFUND:
        return REFUND_DECISION
    if row.kind in (Kind.ORDER_CONFIRMED, Kind.STAFF_ORDER_PAID):
        return WHOLE_ORDER
    return _result_of(row) if row.kind == Kind.STAFF_DISPUTE_CLOSED else subject_of(row.subject_key)


def _result_of(row: Any) -> str:
    """Return the dispute's id and status from the subject key, without its sums: only a new status is a new result."""
    return str(row.subject_key.partition(":")[0])


def _is_newer(cause: str, occurred_at: str, stale_kind: str, stale_at: str) -> bool:
    """Return True if the cause makes the e-mail stale, so that the e-mail is not sent.

    `TIMELESS_CAUSES` always do. Any other cause does so unless the e-mail is about a later fact: an appeal comes after
    its dispute was closed, a second decision after the refund of the first, and another attempt after a failed payment.
    Times are compared in whole seconds, as Stripe reports them. Two results of a dispute are compared exactly, and both
    are sent if their times are equal.
    """
    if cause in TIMELESS_CAUSES:
        return True
    if cause == stale_kind:
        return occurred_at > stale_at
    return occurred_at[:WHOLE_SECONDS] >= stale_at[:WHOLE_SECONDS]


def _occurred_at(event_data: Mapping[str, Any] | None) -> str:
    """Return the time of an e-mail's event, as sortable text in UTC; an empty text if it is not known."""
    found = (event_data or {}).get("occurred_at")
    return datetime.fromisoformat(found).astimezone(UTC).isoformat(timespec="microseconds") if found else ""
