"""Sends what is due, after the commit that wrote it down.

At least once, and recognisably so: a mail is marked `sending` under a lease and committed before the server sees it,
and `sent` right after the server took it. A crash between the two leaves an expired lease, and the mail goes out again
under the same Message-ID, by which servers and readers drop the copy. No order of steps can rule the copy out: SMTP
takes part in no transaction, and a mail twice is better than none.

A server that is away puts mails off and loses none. What is wrong with one mail is recorded on that mail alone.
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

from notifications.config import Config
from notifications.digest import collect
from notifications.kinds import KINDS, REFUND_SUCCEEDED
from notifications.message import address, compose, message_id, sender_address
from notifications.models import (
    FAILED,
    LAST_ATTEMPT,
    PENDING,
    SENDING,
    SENT,
    Email,
    claim_due,
    purchase,
)
from notifications.overtaken import newest_refund, suppress_overtaken
from notifications.rendering import render_anyhow
from notifications.smtp import Connection, Deferred, Interrupted, Refused, Server, Unreachable
from notifications.sources import Source

BATCH = 20  # mails over one connection; what a crash may leave to wait for their leases' end
STINT = timedelta(seconds=5)  # then the worker may stop us: it has 10 s for everything
AWAY = "mail server away: "

EMAILS = Counter("clozit_emails_total", "E-mails by what became of an attempt", ["kind", "outcome"])
from_zero(EMAILS, KINDS, ["sent", "deferred", "failed"])

MARK_SENT = (  # built once: it is run for each mail
    update(Email)
    .where(Email.id == bindparam("email"))
    .values(status=SENT, sent_at=bindparam("at"), next_attempt_at=None, error=None)
)

log = get_logger(__name__)


class Sender:
    """Several may run at once: each claims mails that no other has in hand."""

    def __init__(self, config: Config, database: Database, *, clock: Callable[[], datetime] = utcnow) -> None:
        self._config = config
        self._database = database
        self._server = Server.parse(config.smtp_url)
        self._source = Source.of(config.templates)
        self._clock = clock
        self._was_away = False

    def run(self) -> int:
        """Send what is due, for a stint at most; how many mails the server took."""
        until, taken = self._clock() + STINT, 0
        while self._clock() <= until and self._anything_due():
            if not (emails := self._claim()):
                break  # another sender was quicker
            try:
                taken += self._send_all(emails, until)
            except Unreachable as error:
                self._put_off_all(emails, error)
                break
        return taken

    def _anything_due(self) -> bool:
        with self._database.read() as session:
            return session.scalar(select(Email.id).where(Email.next_attempt_at <= self._clock()).limit(1)) is not None

    def _claim(self) -> Sequence[Email]:
        with self._database.begin() as session:
            if self._config.staff_digest:
                collect(session, self._clock())
            emails = claim_due(session, self._clock(), BATCH)
            for email in emails:
                email.message_id = email.message_id or self._message_id(email)
                if email.kind == REFUND_SUCCEEDED:
                    email.context = {**email.context, **newest_refund(session, email)}
        return emails

    def _message_id(self, email: Email) -> str:
        return message_id(email.kind, email.checkout_id, email.subject_key, self._config.mail_from)

    def _send_all(self, emails: Sequence[Email], until: datetime) -> int:
        """Raises `Unreachable` before the first mail. What is left when the conversation breaks is given back."""
        waiting, taken = list(emails), 0
        with self._server.connect() as connection, self._database.autocommit() as execute:
            self._welcome_back()
            while waiting and self._clock() <= until:
                try:
                    taken += self._send(waiting.pop(0), connection, execute)
                except Interrupted:
                    break
        for email in waiting:
            self._settle(email, lambda held: held.release(self._clock()))
        return taken

    def _send(self, email: Email, connection: Connection, execute: Execute) -> bool:
        """Whether the server took it. Raises `Interrupted` once the mail is put off."""
        try:
            self._hand_over(email, connection)
        except Refused as error:
            self._fail(email, str(error))
        except Deferred as error:
            self._put_off(email, str(error))
        except Interrupted as error:
            self._put_off(email, str(error))
            raise
        else:
            self._mark_sent(email, execute)
            return True
        return False

    def _hand_over(self, email: Email, connection: Connection) -> None:
        try:
            recipient = address(email.recipient or self._config.staff_email).addr_spec
            message = self._write(email, recipient)
        except Exception as error:  # whatever ails this mail must not hold up its neighbours
            log.exception("mail cannot be written", email_id=email.id, kind=email.kind)
            raise Refused(f"cannot be written: {type(error).__name__}: {error}") from error
        about = {"clozit.email_id": email.id, "clozit.checkout_id": email.checkout_id}
        with tracing.span(f"send {email.kind}", SpanKind.PRODUCER, about, parent=email.traceparent):
            connection.send(message, sender=sender_address(self._config.mail_from).addr_spec, recipient=recipient)

    def _write(self, email: Email, recipient: str) -> EmailMessage:
        return compose(
            render_anyhow(email.kind, self._locale(email), email.context, self._config.shop, self._source),
            sender=self._config.mail_from,
            recipient=recipient,
            message_id=email.message_id or self._message_id(email),
            at=self._clock(),
        )

    def _locale(self, email: Email) -> str | None:
        return email.locale if email.recipient else self._config.staff_locale

    def _mark_sent(self, email: Email, execute: Execute) -> None:
        execute(MARK_SENT, {"email": email.id, "at": self._clock()})
        self._count(email, "sent")

    def _fail(self, email: Email, reason: str) -> None:
        self._settle(email, lambda held: held.finish(FAILED, error=reason))
        self._count(email, "failed")

    def _put_off(self, email: Email, reason: str) -> None:
        if email.attempts >= LAST_ATTEMPT:
            self._fail(email, reason)
            return
        self._settle(email, lambda held: held.put_off(self._clock(), reason))
        self._count(email, "deferred")

    def _put_off_all(self, emails: Sequence[Email], error: Unreachable) -> None:
        """However long the server is away: that says nothing about the mails, so none of them fails by it."""
        self._was_away = True
        for email in emails:
            self._settle(email, lambda held: held.put_off(self._clock(), f"{AWAY}{error}"))
            self._count(email, "deferred")

    def _settle(self, email: Email, change: Callable[[Email], None]) -> None:
        """Change the mail if it is still ours: another sender may have taken it over after our lease."""
        with self._database.begin() as session:
            about = purchase(session, email.checkout_id) if email.checkout_id else None
            held = session.get(Email, email.id, with_for_update=True)
            if held is not None and (held.status, held.attempts) == (SENDING, email.attempts):
                change(held)
                session.flush()
                if about:
                    suppress_overtaken(session, [about])

    def _welcome_back(self) -> None:
        """The server answers again: what waited for it need not wait for its next attempt's hour."""
        if self._was_away:
            self._was_away = False
            waiting = update(Email).where(Email.status == PENDING, Email.error.startswith(AWAY))
            with self._database.begin() as session:
                session.execute(waiting.values(next_attempt_at=self._clock()))

    def _count(self, email: Email, outcome: str) -> None:
        EMAILS.labels(email.kind, outcome).inc()
        log.info("mail attempted", outcome=outcome, email_id=email.id, kind=email.kind, attempts=email.attempts)
