"""The sender: sends the due mails, after the commit that queued them.

    claimed (sending) ─▶ written ─▶ accepted by the server ─▶ sent
                         │           ├─ refused             ─▶ failed
                         │           ├─ deferred            ─▶ pending, with a later attempt
                         │           └─ connection lost     ─▶ pending; the rest of the batch is released
                         └─ cannot be written               ─▶ failed

Each mail is sent at least once. It is committed as `sending` before the server gets it, and marked `sent` right after
the server has accepted it. After a crash in between, the claim's lease ends and the mail is sent again. The copy has
the same Message-ID, so that servers and mail programs can drop it. SMTP is in no transaction, so a copy cannot be
excluded, and a copy is better than no mail.

While the server is away, all mails wait and none fails. A problem of one mail is recorded on that mail only.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage

from events.clock import utcnow
from events.database.engine import Database, Execute
from events.observability import tracing
from events.observability.logging import get_logger
from events.observability.metrics import from_zero
from opentelemetry.trace import SpanKind
from prometheus_client import Counter
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from notifications.config import Config
from notifications.digest import collect_due
from notifications.kinds import KINDS, PROMOTIONAL_KINDS, Kind
from notifications.message import address, compose, message_id, sender_address
from notifications.models import (
    FAILED,
    MAX_ATTEMPTS,
    PENDING,
    SENDING,
    SENT,
    SUPPRESSED,
    Email,
    claim_due,
    lock_or_insert_checkout,
)
from notifications.reminders import take_turn
from notifications.rendering import render_with_fallback
from notifications.smtp import (
    Connection,
    ConnectionLostError,
    MailDeferredError,
    MailRefusedError,
    MailServer,
    ServerAwayError,
)
from notifications.suppression import newest_refund_amounts, suppress_stale
from notifications.template_loader import Templates

CLAIM_BATCH_SIZE = 20  # mails for one connection; after a crash, so many wait for the end of their lease
RUN_TIME = timedelta(seconds=5)  # after it, `run` returns so that the worker can stop: it has 10 s in all
AWAY = "mail server away: "  # prefix of the error of mails that wait for the server

EMAILS = Counter("clozit_emails_total", "Attempts to send e-mails by outcome", ["kind", "outcome"])
from_zero(EMAILS, KINDS, ["sent", "deferred", "failed"])

MARK_SENT = (  # built once, because it runs for each mail
    update(Email)
    .where(Email.id == bindparam("email"))
    .values(status=SENT, sent_at=bindparam("at"), next_attempt_at=None, error=None)
)

log = get_logger(__name__)


class Sender:
    """Sends due mails. Several senders may run at once: each mail is claimed by one of them."""

    def __init__(self, config: Config, database: Database, *, clock: Callable[[], datetime] = utcnow) -> None:
        self._config = config
        self._database = database
        self._server = MailServer.parse(config.smtp_url)
        self._links = config.unsubscribe_links
        self._templates = Templates.load(config.templates_dir)
        self._clock = clock
        self._was_away = False

    def run(self) -> int:
        """Send due mails for `RUN_TIME` at most, and return how many the server accepted."""
        until, accepted = self._clock() + RUN_TIME, 0
        while self._clock() <= until and self._has_due():
            if not (emails := self._claim()):
                break  # another sender has claimed them
            try:
                accepted += self._send_all(emails, until)
            except ServerAwayError as error:
                self._schedule_retries(emails, error)
                break
        return accepted

    def _has_due(self) -> bool:
        with self._database.read() as session:
            return session.scalar(select(Email.id).where(Email.next_attempt_at <= self._clock()).limit(1)) is not None

    def _claim(self) -> Sequence[Email]:
        """Claim a batch of due mails, after collecting digests, and complete what is known only at their sending."""
        with self._database.begin() as session:
            if self._config.staff_digest:
                collect_due(session, self._clock())
            emails = self._without_stopped(session, claim_due(session, self._clock(), CLAIM_BATCH_SIZE))
            for email in emails:
                email.message_id = email.message_id or self._message_id(email)
                if email.kind == Kind.REFUND_SUCCEEDED:
                    email.event_data = {**email.event_data, **newest_refund_amounts(session, email)}
        return emails

    def _without_stopped(self, session: Session, emails: Sequence[Email]) -> Sequence[Email]:
        """Suppress the claimed reminders that must not be sent any more, and return the other mails."""
        reminders = [email for email in emails if email.kind in PROMOTIONAL_KINDS]
        stopped = set()
        for email in sorted(reminders, key=lambda one: one.recipient or ""):  # the same lock order in every sender
            if reason := take_turn(session, email, self._links, self._clock()):
                email.finish(SUPPRESSED, error=reason)
                email.attempts -= 1
                stopped.add(email.id)
        return [email for email in emails if email.id not in stopped]

    def _message_id(self, email: Email) -> str:
        return message_id(email.kind, email.checkout_id, email.subject_key, self._config.mail_from)

    def _send_all(self, emails: Sequence[Email], until: datetime) -> int:
        """Send a batch over one connection; release what remains when it breaks or the time is over.

        Raises `ServerAwayError` before the first mail.
        """
        remaining, accepted = list(emails), 0
        with self._server.connect() as connection, self._database.autocommit() as execute:
            self._retry_waiting_now()
            while remaining and self._clock() <= until:
                try:
                    accepted += self._send(remaining.pop(0), connection, execute)
                except ConnectionLostError:
                    break
        for email in remaining:
            self._update_claimed(email, lambda claimed: claimed.release_claim(self._clock()))
        return accepted

    def _send(self, email: Email, connection: Connection, execute: Execute) -> bool:
        """Send one mail, store the outcome and return True if the server accepted it. Raises `ConnectionLostError`."""
        try:
            self._deliver(email, connection)
        except MailRefusedError as error:
            self._mark_failed(email, str(error))
        except MailDeferredError as error:
            self._schedule_retry(email, str(error))
        except ConnectionLostError as error:
            self._schedule_retry(email, str(error))
            raise
        else:
            self._mark_sent(email, execute)
            return True
        return False

    def _deliver(self, email: Email, connection: Connection) -> None:
        try:
            recipient = address(email.recipient or self._config.staff_email).addr_spec
            message = self._compose(email, recipient)
        except Exception as error:  # a defect of this mail must not delay the others
            log.exception("mail cannot be written", email_id=email.id, kind=email.kind)
            raise MailRefusedError(f"cannot be written: {type(error).__name__}: {error}") from error
        attributes = {"clozit.email_id": email.id, "clozit.checkout_id": email.checkout_id}
        with tracing.span(f"send {email.kind}", SpanKind.PRODUCER, attributes, parent=email.traceparent):
            connection.send(message, sender=sender_address(self._config.mail_from).addr_spec, recipient=recipient)

    def _compose(self, email: Email, recipient: str) -> EmailMessage:
        unsubscribe_url = self._links.url(recipient) if email.kind in PROMOTIONAL_KINDS else ""
        data = {**email.event_data, "unsubscribe_url": unsubscribe_url}
        return compose(
            render_with_fallback(email.kind, self._locale(email), data, self._config.shop, self._templates),
            sender=self._config.mail_from,
            recipient=recipient,
            message_id=email.message_id or self._message_id(email),
            sent_at=self._clock(),
            unsubscribe_url=unsubscribe_url,
        )

    def _locale(self, email: Email) -> str | None:
        return email.locale if email.recipient else self._config.staff_locale

    def _mark_sent(self, email: Email, execute: Execute) -> None:
        execute(MARK_SENT, {"email": email.id, "at": self._clock()})
        self._count(email, "sent")

    def _mark_failed(self, email: Email, reason: str) -> None:
        self._update_claimed(email, lambda claimed: claimed.finish(FAILED, error=reason))
        self._count(email, "failed")

    def _schedule_retry(self, email: Email, reason: str) -> None:
        if email.attempts >= MAX_ATTEMPTS:
            self._mark_failed(email, reason)
            return
        self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), reason))
        self._count(email, "deferred")

    def _schedule_retries(self, emails: Sequence[Email], error: ServerAwayError) -> None:
        """Schedule a later attempt for a whole batch. No mail fails, however long the server is away."""
        self._was_away = True
        for email in emails:
            self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), f"{AWAY}{error}"))
            self._count(email, "deferred")

    def _update_claimed(self, email: Email, change: Callable[[Email], None]) -> None:
        """Change the mail unless the claim has ended: another sender can claim it after our lease."""
        with self._database.begin() as session:
            checkout = lock_or_insert_checkout(session, email.checkout_id) if email.checkout_id else None
            claimed = session.get(Email, email.id, with_for_update=True)
            if claimed is not None and (claimed.status, claimed.attempts) == (SENDING, email.attempts):
                change(claimed)
                session.flush()
                if checkout:
                    suppress_stale(session, [checkout])

    def _retry_waiting_now(self) -> None:
        """Make the mails that waited for the server due at once, when it answers for the first time again."""
        if self._was_away:
            self._was_away = False
            waiting = update(Email).where(Email.status == PENDING, Email.error.startswith(AWAY))
            with self._database.begin() as session:
                session.execute(waiting.values(next_attempt_at=self._clock()))

    def _count(self, email: Email, outcome: str) -> None:
        EMAILS.labels(email.kind, outcome).inc()
        log.info("mail attempted", outcome=outcome, email_id=email.id, kind=email.kind, attempts=email.attempts)
