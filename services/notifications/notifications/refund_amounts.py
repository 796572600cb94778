"""Refunds in e-mails: the sums to show, and whether a refund was announced, refused or disputed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import Kind
from notifications.models import SENDING, SENT, UNKNOWN, Email, subject_of


def is_announced(session: Session, email: Email) -> bool:
    """Return True if the customer knows, or may know, from another e-mail that this e-mail's refund succeeded."""
    announcements = session.scalars(
        select(Email).where(Email.checkout_id == email.checkout_id, Email.kind == Kind.REFUND_SUCCEEDED)
    )
    return any(
        (one.status in (SENT, SENDING, UNKNOWN) or one.handovers)
        and subject_of(one.subject_key) == subject_of(email.subject_key)
        for one in announcements
    )


def refund_sums(session: Session, email: Email) -> Mapping[str, int | None]:
    """Return the order's `amount_refunded` and `amount_paid`, from the events of its refunds that have arrived so far.

    The times of these events do not show their order: some are Stripe's, in whole seconds, and others are ours. Each
    refund counts once, or not at all if it failed. An event's `amount_refunded` also contains refunds whose own events
    have not arrived yet.
    """
    rows = session.execute(
        select(Email.kind, Email.event_data).where(
            Email.checkout_id == email.checkout_id, Email.kind.in_((Kind.REFUND_SUCCEEDED, Kind.STAFF_REFUND_FAILED))
        )
    ).all()
    failed = {
        data["refund_id"]: 0 if was_refused(data) else _own_amount(data)  # no sum ever contained a refused one
        for kind, data in rows
        if kind == Kind.STAFF_REFUND_FAILED
    }
    succeeded = {data["refund_id"]: _own_amount(data) for _, data in rows if data["refund_id"] not in failed}
    reported = max((data["amount_refunded"] for kind, data in rows if kind == Kind.REFUND_SUCCEEDED), default=0)
    paid = [data["amount_paid"] for _, data in rows if data.get("amount_paid") is not None]
    return {
        "amount_refunded": max(sum(succeeded.values()), reported - sum(failed.values())),
        "amount_paid": max(paid, default=None),
    }


def was_refused(data: Mapping[str, Any]) -> bool:
    """Return True if Stripe refused to create the refund. Its event then has the refund request's id as `refund_id`."""
    return bool(data["refund_id"] == data.get("refund_request_id"))


def is_disputed(data: Mapping[str, Any]) -> bool:
    """Return True if the refund failed because the customer disputed the payment, so the bank has the money."""
    return bool(data.get("is_disputed"))


def _own_amount(data: Mapping[str, Any]) -> int:
    """Return a refund's amount, or 0 if it is not in the currency of the order's sums."""
    amount: int = data["refund_amount"]
    return amount if (data.get("refund_currency") or data["currency"]) == data["currency"] else 0
