"""Suppression: an e-mail that became stale before it was sent is not sent.

The checkout's outcome or another e-mail can make an e-mail stale (kinds.py). Events come out of order, so the stale
e-mail may be queued before or after its cause. A resend is an operator's decision and is never suppressed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.messaging.contracts.reviews import ReviewDecision
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from notifications.kinds import STALE_AFTER_MAIL, STALE_AFTER_OUTCOME, Kind
from notifications.models import PENDING, SUPPRESSED, CheckoutFacts, Email, subject_of

REFUND_DECISION = "refund"  # the subject of e-mails about a review's refund: the decision and the refund itself
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
            if (subject := _subject_of_cause(row)) is None:
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
        if cause and _is_newer(cause, occurred_at, _occurred_at(row.event_data)):
            yield row.id, f"replaced by {cause}"


def _subject_of_cause(row: Any) -> str | None:
    """Return what the e-mail is about, for the e-mails that it makes stale; None if it makes none stale."""
    if row.kind != Kind.REFUND_SUCCEEDED:
        return subject_of(row.subject_key)
    is_decided = (row.event_data or {}).get("review_reason") and row.status != SUPPRESSED
    return REFUND_DECISION if is_decided else None


def _subject_of_stale(row: Any) -> str:
    if row.kind == Kind.ORDER_CANCELED and (row.event_data or {}).get("decision") == ReviewDecision.REFUND:
        return REFUND_DECISION
    return subject_of(row.subject_key)


def _is_newer(cause: str, occurred_at: str, stale_at: str) -> bool:
    """Return True unless the cause is older news. An appeal comes after its dispute was closed.

    A second decision comes after the refund of the first. Stripe's times of refunds are whole seconds.
    """
    if cause == Kind.REFUND_SUCCEEDED:
        return occurred_at[:WHOLE_SECONDS] >= stale_at[:WHOLE_SECONDS]
    return cause != Kind.STAFF_DISPUTE_CLOSED or occurred_at >= stale_at


def _occurred_at(event_data: Mapping[str, Any] | None) -> str:
    """Return the time of an e-mail's event, as sortable text in UTC; nothing for an erased one."""
    found = (event_data or {}).get("occurred_at")
    return datetime.fromisoformat(found).astimezone(UTC).isoformat(timespec="microseconds") if found else ""
