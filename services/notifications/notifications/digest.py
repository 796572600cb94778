"""The staff's mails collected into one, where the shop wants that: STAFF_DIGEST."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from events.database.transaction import skip_locked
from events.messaging.event import new_id
from sqlalchemy import select
from sqlalchemy.orm import Session

from notifications.kinds import STAFF_DIGEST, STAFF_KINDS
from notifications.models import COLLECTED, PENDING, Email

HOURS = (1, 2, 3, 4, 6, 8, 12, 24)  # they divide a day, so that the hours are the same every day
MOST = 100  # mails in one digest: more than anybody reads; the next digest takes the rest
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Digest:
    """`every` so long, from `at` after midnight UTC on; `every` zero: no digest, each mail by itself."""

    every: timedelta = timedelta()
    at: timedelta = timedelta()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``off``, ``07:30`` (daily, UTC) or ``4h``. Raises `ValueError`."""
        if text == "off":
            return cls()
        if match := re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text):
            return cls(every=DAY, at=timedelta(hours=int(match[1]), minutes=int(match[2])))
        if (match := re.fullmatch(r"(\d+)h", text)) and int(match[1]) in HOURS:
            return cls(every=timedelta(hours=int(match[1])))
        raise ValueError(f"Give off, HH:MM (daily, UTC) or one of {', '.join(f'{hours}h' for hours in HOURS)}.")

    def __bool__(self) -> bool:
        return bool(self.every)

    def next(self, now: datetime) -> datetime:
        """When a mail that is written down now is due."""
        if not self:
            return now
        first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + self.at
        return first + ((now - first) // self.every + 1) * self.every


NO_DIGEST = Digest()


def collect(session: Session, now: datetime) -> None:
    """Put the staff mails that are due into digests, due at once. One that is alone goes out by itself."""
    due = (
        select(Email)
        .where(Email.next_attempt_at <= now, Email.kind.in_(STAFF_KINDS), Email.status == PENDING)
        .where(Email.attempts == 0, Email.resend_of.is_(None))
        .order_by(Email.id)
    )
    emails = session.scalars(skip_locked(session, due)).all()
    for start in range(0, len(emails), MOST):
        if len(batch := emails[start : start + MOST]) > 1:
            _collect(session, batch, now)


def _collect(session: Session, emails: Sequence[Email], now: datetime) -> None:
    digest = Email(
        id=new_id("eml"),
        kind=STAFF_DIGEST,
        status=PENDING,
        attempts=0,
        context={"items": [{"kind": email.kind, "context": email.context} for email in emails]},
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
