"""Mails that became pointless, or would contradict what is known by now, before they were sent.

Events come in any order: whichever is first, the mail that the later word contradicts is not sent. What an operator
asks for once more is sent all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from notifications.kinds import BY_LATER_WORD, BY_OUTCOME, REFUND_SUCCEEDED, STAFF_REFUND_FAILED
from notifications.models import PENDING, SUPPRESSED, Email, Purchase, subject_of


def suppress_overtaken(session: Session, about: Sequence[Purchase]) -> None:
    """Of these purchases, whose rows are locked."""
    for email_id, reason in _overtaken(session, {purchase.checkout_id: purchase.outcome for purchase in about}):
        session.execute(
            update(Email)
            .where(Email.id == email_id, Email.status == PENDING)  # it may have been taken in hand just now
            .values(status=SUPPRESSED, next_attempt_at=None, error=reason)
        )


def _overtaken(session: Session, outcomes: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    columns = (Email.id, Email.kind, Email.checkout_id, Email.subject_key, Email.status, Email.resend_of)
    told = session.execute(select(*columns).where(Email.checkout_id.in_(outcomes))).all()
    later = {
        (row.checkout_id, kind, subject_of(row.subject_key)): row.kind
        for row in told
        for kind in BY_LATER_WORD.get(row.kind, ())
    }
    for row in told:
        outcome = outcomes[row.checkout_id]
        if row.status != PENDING or row.resend_of:
            continue
        if row.kind in BY_OUTCOME.get(outcome, ()):
            yield row.id, f"the order is {outcome}"
        elif word := later.get((row.checkout_id, row.kind, subject_of(row.subject_key))):
            yield row.id, f"overtaken by {word}"


def newest_refund(session: Session, email: Email) -> Mapping[str, int | None]:
    """What the order's refunds and payments come to, by the newest event that told it.

    A mail about an earlier refund may be sent after that of a later one; both then speak of the same sums.
    """
    told = session.scalars(
        select(Email.context).where(
            Email.checkout_id == email.checkout_id, Email.kind.in_((REFUND_SUCCEEDED, STAFF_REFUND_FAILED))
        )
    )
    newest = max(told, key=lambda context: (datetime.fromisoformat(context["occurred_at"]), context["amount_refunded"]))
    return {name: newest.get(name) for name in ("amount_refunded", "amount_paid")}
