"""The sender: sends the due e-mails, after the commit that queued them.

    claimed (sending) ─▶ written ─▶ transmitted ─▶ handed over ─▶ accepted by the server ─▶ sent
                         │          │              ├─ refused             ─▶ failed
                         │          │              ├─ deferred, blocked   ─▶ pending, with a later attempt
                         │          │              └─ no answer           ─▶ pending once, then unknown
                         │          ├─ refused, deferred, blocked: the same
                         │          └─ connection lost                    ─▶ pending; the rest of the batch is released
                         └─ cannot be written                             ─▶ failed

Each e-mail is sent at least once. It is committed as `sending` before the server gets it, and its handover is counted
right before the final dot. Only an e-mail that was handed over can arrive twice: after a crash or without an answer it
is sent once more, with the same Message-ID, so that servers and mail programs can drop the copy. After that, it is
`unknown` and waits for an operator. An answer that takes longer than `ANSWER_WAIT_S` is awaited on another thread.

While the server is away or refuses us, all e-mails wait and none fails. A problem of one e-mail is recorded on that
e-mail only. A refusal that is probably about us delays that e-mail. The second one in a row, for another recipient,
delays all e-mails.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
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
from notifications.localization import preferred_locale
from notifications.message import address, compose, message_id, sender_address
from notifications.models import (
    CHANNEL,
    CLAIM_LEASE,
    FAILED,
    MAX_ATTEMPTS,
    MAX_HANDOVERS,
    PENDING,
    SENDING,
    SENT,
    SUPPRESSED,
    UNKNOWN,
    Email,
    claim_due,
    lock_or_insert_checkout,
)
from notifications.refund_amounts import is_announced, refund_sums
from notifications.reminders import take_turn
from notifications.rendering import render_with_fallback
from notifications.smtp import Connection, MailServer
from notifications.smtp_answers import (
    AnswerLostError,
    BlockedError,
    ConnectionLostError,
    MailBlockedError,
    MailDeferredError,
    MailNotSentError,
    MailRefusedError,
    ServerAwayError,
)
from notifications.suppression import suppress_stale
from notifications.template_loader import Templates

CLAIM_BATCH_SIZE = 20  # e-mails for one connection; after a crash, so many wait for the end of their lease
MAX_RUN_TIME = timedelta(seconds=5)  # after it, `run` returns so that the worker can stop: it has 10 s in all
ANSWER_WAIT_S = 2.0  # for the answer to an e-mail; then other e-mails are sent meanwhile, over another connection
MAX_AWAITED_ANSWERS = 8  # answers that are awaited at once; a server that needs longer for more is overloaded
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


class Sender:
    """Sends due e-mails. Several senders may run at once: each e-mail is claimed by one of them."""

    def __init__(
        self,
        config: Config,
        database: Database,
        *,
        clock: Callable[[], datetime] = utcnow,
        server: MailServer | None = None,
    ) -> None:
        self._config = config
        self._database = database
        self._server = server or MailServer.parse(config.smtp_url)
        self._links = config.unsubscribe_links
        self._templates = Templates.load(config.templates_dir)
        self._clock = clock
        self._was_away = False
        self._was_blocked = False
        self._blocked_recipients: set[str] = set()  # since the server accepted an e-mail
        self._waiting = threading.Semaphore(MAX_AWAITED_ANSWERS)

    def run(self) -> int:
        """Start due e-mails for `MAX_RUN_TIME`, and return how many the server accepted within `ANSWER_WAIT_S`.

        The last one may take longer: a connection or a command has `COMMAND_TIMEOUT_S`. Nothing is raised while the
        server is away: its e-mails get a later attempt.
        """
        until, accepted = self._clock() + MAX_RUN_TIME, 0
        while self._clock() <= until and self._has_due():
            if not (emails := self._claim()):
                break  # another sender has claimed them
            remaining = list(emails)
            try:
                accepted += self._send_all(remaining, until)
            except ServerAwayError as error:
                self._schedule_retries(remaining, error)
                break
            except _TooManyWaitingError:
                break
            finally:
                self._release(remaining)
        return accepted

    def _has_due(self) -> bool:
        with self._database.read() as session:
            return session.scalar(select(Email.id).where(Email.next_attempt_at <= self._clock()).limit(1)) is not None

    def _claim(self) -> Sequence[Email]:
        """Claim a batch of due e-mails, after collecting digests, and complete what is known only at their sending."""
        with self._database.begin() as session:
            if self._config.staff_digest:
                collect_due(session, self._clock())
            emails = self._without_stopped(session, claim_due(session, self._clock(), CLAIM_BATCH_SIZE))
            for email in emails:
                email.message_id = email.message_id or self._message_id(email)
                if email.kind in (Kind.REFUND_SUCCEEDED, Kind.REFUND_FAILED):
                    email.event_data = {**email.event_data, **refund_sums(session, email)}
        return emails

    def _without_stopped(self, session: Session, emails: Sequence[Email]) -> Sequence[Email]:
        """Suppress the claimed e-mails that must not be sent any more, and return the others."""
        reminders = [email for email in emails if email.kind in PROMOTIONAL_KINDS and email.may_be_handed_over]
        stopped = set()

        def stop(email: Email, reason: str) -> None:
            email.finish(SUPPRESSED, error=reason)
            email.attempts -= 1
            stopped.add(email.id)

        for email in emails:
            if not email.may_be_handed_over:  # its sender died while it waited for the answer
                email.finish(UNKNOWN, error=email.error or "the sender ended before the mail server's answer")
                stopped.add(email.id)
                self._count(email, "unknown")
            elif email.kind == Kind.REFUND_FAILED and not email.resend_of and not is_announced(session, email):
                stop(email, "the customer does not know of the refund")
        for email in sorted(reminders, key=lambda one: one.recipient or ""):  # the same lock order in every sender
            if reason := take_turn(session, email, self._links, self._clock()):
                stop(email, reason)
        return [email for email in emails if email.id not in stopped]

    def _message_id(self, email: Email) -> str:
        return message_id(email.kind, email.checkout_id, email.subject_key, self._config.mail_from)

    def _send_all(self, remaining: list[Email], until: datetime) -> int:
        """Send e-mails over one connection until it breaks, waits for an answer, or the time is over.

        Removes the e-mails with an outcome from `remaining`. Raises `ServerAwayError` if the server accepts none now.
        """
        accepted = 0
        with self._server.connect() as connection, self._database.autocommit() as execute:
            self._was_away = self._was_away and not self._retry_now(AWAY)
            while remaining and self._clock() <= until:
                email = remaining[0]
                try:
                    answer = self._hand_over(email, connection)
                    answer.result(ANSWER_WAIT_S)
                except TimeoutError:
                    remaining.pop(0)
                    connection.detach()
                    self._await_answer(email, connection, answer)
                    break
                except MailNotSentError as error:
                    if isinstance(error, MailBlockedError):
                        self._check_blocked(email, error)
                    remaining.pop(0)
                    self._record(email, error)
                    if isinstance(error, ConnectionLostError | AnswerLostError):
                        break
                else:
                    remaining.pop(0)
                    self._mark_sent(email, execute)
                    accepted += 1
        return accepted

    def _hand_over(self, email: Email, connection: Connection) -> "Future[None]":
        """Write an e-mail and hand it over to the server. Return the server's answer to come.

        Raises the errors of `Connection.transmit`. If our claim has ended, the e-mail is dropped before its end.
        """
        try:
            recipient = address(email.recipient or self._config.staff_email).addr_spec
            message = self._compose(email, recipient)
        except Exception as error:  # a defect of this e-mail must not delay the others
            log.exception("mail cannot be written", email_id=email.id, kind=email.kind)
            raise MailRefusedError(f"cannot be written: {type(error).__name__}: {error}") from error
        attributes = {"clozit.email_id": email.id, "clozit.checkout_id": email.checkout_id}
        with tracing.span(f"send {email.kind}", SpanKind.PRODUCER, attributes, parent=email.traceparent):
            if not self._waiting.acquire(blocking=False):
                raise _TooManyWaitingError
            try:
                connection.transmit(
                    message, sender=sender_address(self._config.mail_from).addr_spec, recipient=recipient
                )
                with connection.aborted_on_error():
                    self._count_handover(email)
            except BaseException:
                self._waiting.release()
                raise
            answer = connection.finish_in_background(self._config.smtp_answer_timeout.total_seconds())
        answer.add_done_callback(lambda _: self._waiting.release())
        return answer

    def _count_handover(self, email: Email) -> None:
        """Count that the server gets the whole e-mail now, and extend the claim.

        Raises `ConnectionLostError` if the claim has ended: another sender has the e-mail.
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
                raise ConnectionLostError("our claim ended before the e-mail did: another sender sends it")

    def _await_answer(self, email: Email, connection: Connection, answer: "Future[None]") -> None:
        """Record the answer when it comes, on the thread that waits for it."""

        def record(done: "Future[None]") -> None:
            connection.close()
            try:
                self._record(email, done.exception())
            except Exception:
                log.exception(
                    "the outcome of an e-mail is not recorded, another sender takes it after its claim",
                    email_id=email.id,
                )
            self._database.signal(CHANNEL).set()  # more e-mails may be due, and one more answer can be awaited

        log.info("mail server needs long for its answer", email_id=email.id, kind=email.kind)
        answer.add_done_callback(record)

    def _record(self, email: Email, error: BaseException | None) -> None:
        """Store the outcome of an attempt."""
        match error:
            case None:
                with self._database.autocommit() as execute:
                    self._mark_sent(email, execute)
            case MailRefusedError():
                self._mark_failed(email, str(error))
            case MailDeferredError() | ConnectionLostError():
                self._schedule_retry(email, str(error))
            case MailBlockedError():
                log.error("mail server refuses us", email_id=email.id, answer=str(error))
                self._schedule_retry(email, f"{BLOCKED}{error}", "blocked")
            case AnswerLostError():
                self._record_unknown(email, f"no answer after the whole e-mail: {error}")
            case _:
                raise error

    def _check_blocked(self, email: Email, error: MailBlockedError) -> None:
        """Raise `BlockedError` if the server has refused several recipients in a row for a reason that is ours."""
        self._blocked_recipients.add(email.recipient or self._config.staff_email)
        if len(self._blocked_recipients) >= MAX_BLOCKED_RECIPIENTS:
            raise BlockedError(str(error)) from error

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

    def _locale(self, email: Email) -> str:
        if email.recipient is None:
            return self._config.staff_locale
        country = email.event_data.get("customer_country")
        return preferred_locale(email.locale, country, self._config.default_locale, self._templates.translations)

    def _mark_sent(self, email: Email, execute: Execute) -> None:
        execute(MARK_SENT, {"email": email.id, "at": self._clock()})
        self._count(email, "sent")
        self._blocked_recipients.clear()
        self._was_blocked = self._was_blocked and not self._retry_now(BLOCKED)

    def _mark_failed(self, email: Email, reason: str) -> None:
        self._update_claimed(email, lambda claimed: claimed.finish(FAILED, error=reason))
        self._count(email, "failed")

    def _schedule_retry(self, email: Email, reason: str, outcome: str = "deferred") -> None:
        if email.attempts >= MAX_ATTEMPTS:
            self._mark_failed(email, reason)
            return
        self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), reason))
        self._count(email, outcome)

    def _schedule_retries(self, emails: list[Email], error: ServerAwayError) -> None:
        """Schedule a later attempt for all these e-mails. None fails, however long the server is away or refuses us."""
        is_blocked = isinstance(error, BlockedError)
        self._was_blocked, self._was_away = self._was_blocked or is_blocked, self._was_away or not is_blocked
        if is_blocked:
            log.error("mail server refuses us, all e-mails wait", answer=str(error))
        reason = f"{BLOCKED if is_blocked else AWAY}{error}"
        while emails:
            email = emails.pop(0)
            self._update_claimed(email, lambda claimed: claimed.schedule_retry(self._clock(), reason))
            self._count(email, "blocked" if is_blocked else "deferred")

    def _record_unknown(self, email: Email, reason: str) -> None:
        def change(claimed: Email) -> None:
            claimed.handovers = email.handovers + 1  # this handover has no answer, so it stays counted
            claimed.record_unknown_outcome(self._clock(), reason)

        self._update_claimed(email, change)
        self._count(email, "deferred" if email.handovers + 1 < MAX_HANDOVERS else "unknown")

    def _release(self, emails: Sequence[Email]) -> None:
        for email in emails:
            self._update_claimed(email, lambda claimed: claimed.release_claim(self._clock()))

    def _update_claimed(self, email: Email, change: Callable[[Email], None]) -> None:
        """Change the e-mail unless the claim has ended: another sender can claim it after our lease."""
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
        """Make the e-mails that waited for the server due at once, when it works again. Return True."""
        waiting = update(Email).where(Email.status == PENDING, Email.error.startswith(prefix))
        with self._database.begin() as session:
            session.execute(waiting.values(next_attempt_at=self._clock()))
        return True

    def _count(self, email: Email, outcome: str) -> None:
        EMAILS.labels(email.kind, outcome).inc()
        log.info("mail attempted", outcome=outcome, email_id=email.id, kind=email.kind, attempts=email.attempts)


class _TooManyWaitingError(Exception):
    """As many answers as allowed are awaited. The next e-mail is sent when one of them has come."""
