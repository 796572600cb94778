"""The claims of senders: each due e-mail is claimed by one sender, until its lease ends."""

from collections.abc import Callable, Sequence
from datetime import datetime

from events.database.engine import Database
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from notifications.composer import message_id_for
from notifications.config import Config
from notifications.digest import collect_due
from notifications.kinds import PROMOTIONAL_KINDS, Kind
from notifications.models import (
    CLAIM_LEASE,
    SENDING,
    SUPPRESSED,
    UNKNOWN,
    Email,
    claim_due,
)
from notifications.outcomes import count_outcome
from notifications.refund_amounts import is_announced, refund_sums
from notifications.reminders import take_turn
from notifications.smtp_answers import ConnectionLostError

CLAIM_BATCH_SIZE = 20  # e-mails for one connection; after a crash, so many wait for the end of their lease


class Claims:
    """The claims of one sender. Claimed e-mails that must not be sent any more are suppressed instead."""

    def __init__(self, config: Config, database: Database, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._links = config.unsubscribe_links
        self._database = database
        self._clock = clock

    def has_due(self) -> bool:
        """Return True if an e-mail is due, or the claim of a dead sender has ended."""
        with self._database.read() as session:
            return session.scalar(select(Email.id).where(Email.next_attempt_at <= self._clock()).limit(1)) is not None

    def claim(self) -> Sequence[Email]:
        """Claim at most `CLAIM_BATCH_SIZE` due e-mails, and return those that may be sent.

        With STAFF_DIGEST, collect the due e-mails to staff into digests first, each in its own transaction. Set the
        Message-ID of each e-mail. An e-mail to the customer about a refund gets the order's sums as they are now.
        """
        now = self._clock()
        while self._config.staff_digest and self._collect_digest(now):
            pass  # all of them: an e-mail that waits for a digest must not be claimed by itself
        with self._database.begin() as session:
            emails = self._without_stopped(session, claim_due(session, now, CLAIM_BATCH_SIZE))
            for email in emails:
                email.message_id = message_id_for(email, self._config.mail_from)
                if email.kind in (Kind.REFUND_SUCCEEDED, Kind.REFUND_FAILED):
                    email.event_data = {**email.event_data, **refund_sums(session, email)}
        return emails

    def _collect_digest(self, now: datetime) -> bool:
        with self._database.begin() as session:
            return collect_due(session, now)

    def _without_stopped(self, session: Session, emails: Sequence[Email]) -> Sequence[Email]:
        """Return the claimed e-mails that may be sent, and end the others.

        Suppressed are reminders that `take_turn` refuses, and e-mails about the failure of a refund of which the
        customer does not know. An e-mail that was handed over `MAX_HANDOVERS` times without an answer becomes unknown.
        """
        reminders = [email for email in emails if email.kind in PROMOTIONAL_KINDS and email.may_be_handed_over]
        stopped = set()

        def stop(email: Email, reason: str) -> None:
            email.finish(SUPPRESSED, error=reason)
            email.attempts -= 1
            stopped.add(email.id)

        for email in emails:
            if not email.may_be_handed_over:  # its sender died while it waited for the answer
                email.finish(UNKNOWN, error=email.error or "the sender's process ended before the mail server answered")
                stopped.add(email.id)
                count_outcome(email, "unknown")
            elif email.kind == Kind.REFUND_FAILED and not email.resend_of and not is_announced(session, email):
                stop(email, "the customer does not know of the refund")
        for email in sorted(reminders, key=lambda one: one.recipient or ""):  # the same lock order in every sender
            if reason := take_turn(session, email, self._links, self._clock()):
                stop(email, reason)
        return [email for email in emails if email.id not in stopped]

    def count_handover(self, email: Email) -> None:
        """Count a handover, right before the server gets the whole e-mail, and extend the claim.

        Raises `ConnectionLostError` if the claim has ended: another sender has claimed the e-mail, or its customer is
        erased.
        """
        lease = self._config.smtp_answer_timeout + CLAIM_LEASE
        count = (
            update(Email)
            .where(Email.id == email.id, Email.status == SENDING, Email.attempts == email.attempts)
            .values(handovers=Email.handovers + 1, next_attempt_at=self._clock() + lease)
            .returning(Email.id)
        )
        with self._database.begin() as session:
            if session.execute(count).first() is None:
                raise ConnectionLostError(
                    "our claim ended: another sender has claimed the e-mail, or its customer is erased"
                )
