"""Resends: copies of e-mails, sent at an operator's request. Each copy is a new row. The original stays unchanged.

A request adds e-mails once per idempotency key: a repeat returns the e-mails that the first request added.
Promotional e-mails stay subject to the rules of reminders.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from events.clock import utcnow
from events.database.notify import notify_after_commit
from events.database.transaction import for_update, insert_once
from events.messaging.event import new_id
from events.web.idempotency import fingerprint
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from notifications.errors import (
    CustomerErasedError,
    KeyReusedError,
    NotificationNotFoundError,
    NotificationUnsentError,
    StaffRecipientError,
)
from notifications.kinds import CUSTOMER_KINDS
from notifications.models import (
    CHANNEL,
    FAILED,
    PENDING,
    SENDING,
    SENT,
    SUPPRESSED,
    UNKNOWN,
    CheckoutFacts,
    Email,
    ResendRequest,
    lock_or_insert_checkout,
    lock_or_insert_checkouts,
)

UNSENT = (PENDING, SENDING)
RESENT_IN_BULK = (SENT, FAILED, UNKNOWN)  # suppressed and collected e-mails were not to be sent by themselves
Result = dict[str, Any]


@dataclass(frozen=True)
class ResendOne:
    """A request to resend one e-mail: to the corrected address `recipient`, or to its own one if that is None."""

    email_id: str
    recipient: str | None = None


@dataclass(frozen=True)
class ResendMany:
    """A request to resend the e-mails that match all filters: at most `limit`, the oldest first."""

    limit: int
    filters: dict[str, str] = field(default_factory=dict)  # times are ISO 8601 text


def matches(filters: dict[str, Any]) -> Sequence[ColumnElement[bool]]:
    """Return the SQL conditions for these filters. Times are aware datetimes.

    The filter `error` finds suppressed e-mails only if the filter `status` asks for them: they are many, and their
    `error` is no failure.
    """
    by_value = ("status", "kind", "checkout_id", "recipient", "digest_id")
    conditions = [getattr(Email, name) == filters[name] for name in by_value if name in filters]
    if "error" in filters:
        conditions.append(Email.error.contains(filters["error"], autoescape=True))
        if "status" not in filters:
            conditions.append(Email.status != SUPPRESSED)
    if "created_from" in filters:
        conditions.append(Email.created_at >= filters["created_from"])
    if "created_to" in filters:
        conditions.append(Email.created_at < filters["created_to"])
    return conditions


def resend(session: Session, request: ResendOne, actor: str, key: str) -> Email:
    """Add a copy of an e-mail, due now, and return it. A repeat with the same key returns the first copy.

    Raises `NotificationNotFoundError`, `NotificationUnsentError`, `CustomerErasedError`, `StaffRecipientError`, or
    `KeyReusedError` if the key belongs to another request.
    """
    result = _once(session, key, request, actor, lambda: {"ids": [_resend_one(session, request, actor).id]})
    return session.get_one(Email, result["ids"][0])


def resend_many(session: Session, request: ResendMany, actor: str, key: str) -> Result:
    """Add copies of the matching e-mails, due now. Return the ids of both, and how many match without the limit.

    An e-mail that was resent before is left out. Its last copy is resent instead, if that copy matches and is failed
    or unknown. A repeat with the same key returns the first result. Raises `KeyReusedError` if the key belongs to
    another request.
    """

    def act() -> Result:
        matching = count_matching(session, request)
        originals = _lock(session, find_matching(session, request))
        copies = [_copy(original, actor) for original in originals]
        session.add_all(copies)
        session.flush()
        notify_after_commit(session, CHANNEL)
        return {
            "notification_ids": [original.id for original in originals],
            "resend_ids": [copy.id for copy in copies],
            "matching": matching,
        }

    return _once(session, key, request, actor, act)


def count_matching(session: Session, request: ResendMany) -> int:
    """Return how many e-mails the request would resend now if it had no limit."""
    return session.scalar(select(func.count()).select_from(Email).where(*_conditions(request))) or 0


def find_matching(session: Session, request: ResendMany) -> Sequence[Email]:
    """Return the e-mails that would be resent now: at most the limit, the oldest first."""
    oldest_first = select(Email).where(*_conditions(request)).order_by(Email.created_at, Email.id)
    return session.scalars(oldest_first.limit(request.limit)).all()


def _conditions(request: ResendMany) -> Sequence[ColumnElement[bool]]:
    filters: dict[str, Any] = dict(request.filters)
    for name in ("created_from", "created_to"):
        if name in filters:
            filters[name] = datetime.fromisoformat(filters[name])
    later = aliased(Email)
    return [
        *matches(filters),
        Email.status.in_(RESENT_IN_BULK),
        or_(Email.recipient.is_not(None), Email.kind.not_in(CUSTOMER_KINDS)),  # an erased customer has no address
        ~select(later.id).where(later.resend_of == Email.id).exists(),
        or_(Email.resend_of.is_(None), Email.status != SENT),  # a copy that was sent is done
    ]


def _lock(session: Session, emails: Sequence[Email]) -> Sequence[Email]:
    """Lock e-mails, and return those that still have an address and no resend."""
    ids = [email.id for email in emails]
    checkouts = lock_or_insert_checkouts(session, {email.checkout_id for email in emails if email.checkout_id})
    locked = select(Email).where(Email.id.in_(ids)).order_by(Email.id).execution_options(populate_existing=True)
    rows = session.scalars(for_update(session, locked)).all()
    resent = set(session.scalars(select(Email.resend_of).where(Email.resend_of.in_(ids))))
    return [row for row in rows if row.id not in resent and not _is_erased(row, checkouts.get(row.checkout_id or ""))]


def _is_erased(email: Email, checkout: CheckoutFacts | None) -> bool:
    return checkout is not None and checkout.erased_at is not None and email.kind in CUSTOMER_KINDS


def _resend_one(session: Session, request: ResendOne, actor: str) -> Email:
    original = session.get(Email, request.email_id)
    if original is None:
        raise NotificationNotFoundError(request.email_id)
    if request.recipient and original.kind not in CUSTOMER_KINDS:
        raise StaffRecipientError
    if original.checkout_id:  # lock order: the checkout first, as the sender does
        checkout = lock_or_insert_checkout(session, original.checkout_id)
        if _is_erased(original, checkout):
            raise CustomerErasedError
    session.refresh(original, with_for_update=True)  # one after the other, if two operators click at the same time
    if unsent := _unsent(session, original):
        raise NotificationUnsentError(unsent)
    copy = _copy(original, actor, request.recipient)
    session.add(copy)
    session.flush()
    notify_after_commit(session, CHANNEL)  # the sender is another process
    return copy


def _once(session: Session, key: str, request: ResendOne | ResendMany, actor: str, act: Callable[[], Result]) -> Result:
    """Return the result of the first request under this key. Call `act` only for that request."""
    request_hash = fingerprint(request)
    values = {"fingerprint": request_hash, "result": {}, "requested_by": actor, "created_at": utcnow()}
    is_new = insert_once(session, ResendRequest, idempotency_key=key, **values)
    stored = session.get_one(ResendRequest, key)
    if is_new:
        stored.result = act()
    elif stored.fingerprint != request_hash:
        raise KeyReusedError
    return stored.result


def _unsent(session: Session, original: Email) -> str | None:
    same = (Email.id == original.id) | (Email.resend_of == original.id)
    return session.scalar(select(Email.id).where(same, Email.status.in_(UNSENT)).limit(1))


def _copy(original: Email, actor: str, recipient: str | None = None) -> Email:
    new, now = new_id("eml"), utcnow()
    return Email(
        id=new,
        kind=original.kind,
        checkout_id=original.checkout_id,
        subject_key=f"{original.subject_key.partition('/')[0]}/{new}",
        recipient=recipient or original.recipient,
        locale=original.locale,
        event_data=original.event_data,
        status=PENDING,
        attempts=0,
        handovers=0,
        next_attempt_at=now,
        created_at=now,
        resend_of=original.id,
        requested_by=actor,
    )
