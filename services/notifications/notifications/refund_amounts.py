"""The sums that e-mails about refunds show: those of the newest event, because the e-mails can be sent out of order."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import Kind
from notifications.models import Email


def newest_refund_amounts(session: Session, email: Email) -> Mapping[str, int | None]:
    """Return the order's refunded and paid amounts from the newest event that has them.

    Refund e-mails can be sent out of order. With these amounts, all of them show the same sums.
    """
    found = session.scalars(
        select(Email.event_data).where(
            Email.checkout_id == email.checkout_id, Email.kind.in_((Kind.REFUND_SUCCEEDED, Kind.STAFF_REFUND_FAILED))
        )
    )
    newest = max(found, key=lambda data: (datetime.fromisoformat(data["occurred_at"]), data["amount_refunded"]))
    return {name: newest.get(name) for name in ("amount_refunded", "amount_paid")}
