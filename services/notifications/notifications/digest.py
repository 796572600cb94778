"""Digests: e-mails to staff that are collected into one, if the shop wants that (STAFF_DIGEST)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from events.database.transaction import lock_keys, skip_locked
from events.messaging.event import new_id
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import STAFF_KINDS, Kind
from notifications.models import COLLECTED, PENDING, Email

INTERVALS_H = (1, 2, 3, 4, 6, 8, 12, 24)  # hours that divide a day, so that digests have the same times every day
MAX_ITEMS = 100  # e-mails in one digest and transaction: more than a person reads in one sitting. More digests follow
DAY = timedelta(days=1)


@dataclass(frozen=True)
class DigestSchedule:
    """The times of digests: one every `interval`, counted from midnight UTC plus `offset`.

    Without an interval there are no digests, and the schedule is false as a condition.
    """

    interval: timedelta = timedelta()
    offset: timedelta = timedelta()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the schedule for ``off``, ``07:30`` (daily, UTC) or ``4h``. Raises `ValueError` for other texts."""
        if text == "off":
            return cls()
        if match := re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text):
            return cls(interval=DAY, offset=timedelta(hours=int(match[1]), minutes=int(match[2])))
        if (match := re.fullmatch(r"(\d+)h", text)) and int(match[1]) in INTERVALS_H:
            return cls(interval=timedelta(hours=int(match[1])))
        raise ValueError(f"Use off, HH:MM (daily, UTC) or one of {', '.join(f'{hours}h' for hours in INTERVALS_H)}.")

    def __bool__(self) -> bool:
        return bool(self.interval)

    def next_due(self, now: datetime) -> datetime:
        """Return when an e-mail to staff that is queued now is due: at the next digest, or now if there are none."""
        if not self:
            return now
        first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + self.offset
        return first + ((now - first) // self.interval + 1) * self.interval


NO_DIGEST = DigestSchedule()


def collect_due(session: Session, now: datetime) -> bool:
    """Collect at most `MAX_ITEMS` due e-mails to staff into a digest, which is due now. Return True if more may be due.

    All e-mails about one checkout are in the same digest, also beyond `MAX_ITEMS`, so that no two digests contradict
    each other. E-mails about skus have no checkout, so they may be in different digests. A single due e-mail is not
    collected, and neither are resends and e-mails that were attempted before.
    """
    lock_keys(session, ["digest"])  # another sender would take the e-mails about a checkout that this one has not read
    due = (
        select(Email)
        .where(Email.next_attempt_at <= now, Email.kind.in_(STAFF_KINDS), Email.status == PENDING)
        .where(Email.attempts == 0, Email.resend_of.is_(None))
        .order_by(Email.checkout_id.nulls_first(), Email.id)
    )
    emails = [*session.scalars(skip_locked(session, due.limit(MAX_ITEMS)))]
    may_have_more = len(emails) == MAX_ITEMS
    if may_have_more and (last := emails[-1]).checkout_id is not None:
        rest = due.where(Email.checkout_id == last.checkout_id, Email.id > last.id)
        emails += session.scalars(skip_locked(session, rest))
    if len(emails) > 1:
        _add_digest(session, emails, now)
    return may_have_more


def _add_digest(session: Session, emails: Sequence[Email], now: datetime) -> None:
    digest = Email(
        id=new_id("eml"),
        kind=Kind.STAFF_DIGEST,
        status=PENDING,
        attempts=0,
        event_data={"items": [{"kind": email.kind, "event_data": email.event_data} for email in emails]},
        next_attempt_at=now,
        created_at=now,
    )
    digest.subject_key = digest.id
    session.add(digest)
    session.flush()
    for email in emails:
        email.finish(COLLECTED)
        email.digest_id = digest.id
    session.flush()
