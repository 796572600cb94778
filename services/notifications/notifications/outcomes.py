"""The outcomes of attempts to send: each is stored in the e-mail's row, and all are counted.

When the server works again, the e-mails that waited for it are due without further delay.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from events.database.engine import Database, Execute
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from prometheus_client import Counter
from sqlalchemy import bindparam, update

from notifications.config import Config
from notifications.kinds import KINDS
from notifications.models import (
    FAILED,
    MAX_ATTEMPTS,
    MAX_HANDOVERS,
    PENDING,
    SENDING,
    SENT,
    Email,
    lock_or_insert_checkout,
)
from notifications.smtp_answers import (
    AnswerLostError,
    BlockedError,
    ConnectionLostError,
    MailBlockedError,
    MailDeferredError,
    MailRefusedError,
    ServerAwayError,
)
from notifications.suppression import suppress_stale

MAX_BLOCKED_RECIPIENTS = 2  # recipients in a row, refused for a reason that is probably ours: it is no accident
AWAY = "mail server away: "  # prefix of the error of e-mails that wait for the server
BLOCKED = "mail server refuses us: "  # prefix of the error of e-mails that wait for an operator

EMAILS = Counter("clozit_emails_total", "Attempts to send e-mails by outcome", ["kind", "outcome"])
from_zero(EMAILS, KINDS, ["sent", "deferred", "blocked", "failed", "unknown"])

MARK_SENT = (  # built once, because it runs for each e-mail
    update(Email)
    .where(Email.id == bindparam("email"))
    .values(status=SENT, sent_at=bindparam("at"), next_attempt_at=None, error=None)
)

log = get_logger(__name__)


def count_outcome(email: Email, outcome: str) -> None:
    """Count and log the outcome of an e-mail's claim: of its attempt, or of its wait for the server."""
    EMAILS.labels(email.kind, outcome).inc()
    log.info("e-mail outcome recorded", outcome=outcome, email_id=email.id, kind=email.kind, attempts=email.attempts)


class Outcomes:
    """Stores the outcomes of one sender's attempts. It remembers if the server was away or refused us."""

    def __init__(self, config: Config, database: Database, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._was_away = False
        self._was_blocked = False
        self._blocked_recipients: set[str] = set()  # since the server accepted an e-mail

    def record_reachable(self) -> None:
        """Record that the server answers. If it was away before, the e-mails that waited for it become due."""
        self._was_away = self._was_away and not self._retry_now(AWAY)

    def record(self, email: Email, error: BaseException | None) -> None:
        """Store the outcome of an attempt: sent if there is no error. Raises any error but a `MailNotSentError`."""
        match error:
            case None:
                with self._database.autocommit() as execute:
                    self.mark_sent(email, execute)
            case MailRefusedError():
                self.mark_failed(email, str(error))
            case MailDeferredError() | ConnectionLostError():
                self.schedule_retry(email, str(error))
            case MailBlockedError():
                log.error("mail server refuses an e-mail, probably because of us", email_id=email.id, answer=str(error))
                self.schedule_retry(email, f"{BLOCKED}{error}", "blocked")
            case AnswerLostError():
                self._record_unknown(email, f"no answer after the whole e-mail: {error}")
            case _:
                raise error

    def mark_sent(self, email: Email, execute: Execute) -> None:
        """Mark an e-mail as sent, also if its claim has ended.

        If the server refused us before, the e-mails that waited because of that become due.
        """
        execute(MARK_SENT, {"email": email.id, "at": self._clock()})
        count_outcome(email, "sent")
        self._blocked_recipients.clear()
        self._was_blocked = self._was_blocked and not self._retry_now(BLOCKED)

    def mark_failed(self, email: Email, reason: str) -> None:
        """End an e-mail as failed: it is not tried again."""
        self._update_claimed(email, lambda claimed: claimed.finish(FAILED, error=reason))
        count_outcome(email, "failed")

    def schedule_retry(self, email: Email, reason: str, outcome: str = "deferred") -> None:
        """Schedule a later attempt, or end the e-mail as failed after `MAX_ATTEMPTS`."""
        if email.attempts >= MAX_ATTEMPTS:
            self.mark_failed(email, reason)
            return
        self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), reason))
        count_outcome(email, outcome)

    def schedule_retries(self, emails: list[Email], error: ServerAwayError) -> None:
        """Schedule a later attempt for all these e-mails, and empty the list.

        None of them fails, however long the server is away or refuses us.
        """
        is_blocked = isinstance(error, BlockedError)
        self._was_blocked, self._was_away = self._was_blocked or is_blocked, self._was_away or not is_blocked
        if is_blocked:
            log.error("mail server refuses us, all e-mails wait", answer=str(error))
        reason = f"{BLOCKED if is_blocked else AWAY}{error}"
        while emails:
            email = emails.pop(0)
            self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), reason))
            count_outcome(email, "blocked" if is_blocked else "deferred")

    def _record_unknown(self, email: Email, reason: str) -> None:
        def change(claimed: Email) -> None:
            claimed.handovers = email.handovers + 1  # this handover has no answer, so it stays counted
            claimed.record_unknown_outcome(self._clock(), reason)

        self._update_claimed(email, change)
        count_outcome(email, "deferred" if email.handovers + 1 < MAX_HANDOVERS else "unknown")

    def check_blocked(self, email: Email, error: MailBlockedError) -> None:
        """Remember that the server refused this e-mail's recipient for a reason that is probably ours.

        Raises `BlockedError` after `MAX_BLOCKED_RECIPIENTS` different recipients without an accepted e-mail in between.
        """
        self._blocked_recipients.add(email.recipient or self._config.staff_email)
        if len(self._blocked_recipients) >= MAX_BLOCKED_RECIPIENTS:
            raise BlockedError(str(error)) from error

    def release(self, emails: Sequence[Email]) -> None:
        """Make e-mails that were claimed but not attempted due again."""
        for email in emails:
            self._update_claimed(email, lambda claimed: claimed.release_claim(self._clock()))

    def _update_claimed(self, email: Email, change: Callable[[Email], None]) -> None:
        """Change the e-mail unless the claim has ended: another sender can claim it after our lease.

        Then suppress the stale e-mails of its checkout, because the e-mail may have become stale while it was claimed.
        """
        with self._database.begin() as session:
            checkout = lock_or_insert_checkout(session, email.checkout_id) if email.checkout_id else None
            claimed = session.get(Email, email.id, with_for_update=True)
            if claimed is not None and (claimed.status, claimed.attempts) == (SENDING, email.attempts):
                claimed.handovers = email.handovers  # the server answered, so this one is not unknown
                change(claimed)
                session.flush()
                if checkout:
                    suppress_stale(session, [checkout])

    def _retry_now(self, prefix: str) -> bool:
        """Make the pending e-mails whose error begins with the prefix due now. Return True."""
        waiting = update(Email).where(Email.status == PENDING, Email.error.startswith(prefix))
        with self._database.begin() as session:
            session.execute(waiting.values(next_attempt_at=self._clock()))
        return True
