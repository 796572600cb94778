"""The sender: sends the due e-mails, after the commit that queued them.

    claimed (sending) ─▶ written ─▶ transmitted ─▶ handed over ─▶ accepted by the server ─▶ sent
                         │          │              ├─ refused             ─▶ failed
                         │          │              ├─ deferred, blocked   ─▶ pending, with a later attempt
                         │          │              └─ no answer           ─▶ pending once, then unknown
                         │          ├─ refused, deferred, blocked: the same
                         │          └─ connection lost                    ─▶ pending; the rest of the batch is released
                         └─ cannot be written                             ─▶ failed

A crash loses no e-mail. Each one is committed as `sending` before the server gets it, and its handover is counted right
before the final dot. Only an e-mail that was handed over can arrive twice: after a crash or without an answer it is
sent once more, with the same Message-ID, so that servers and mail programs can drop the copy. If that has no answer
either, it is `unknown` and waits for an operator. The sender waits `ANSWER_WAIT_S` for an answer. Then it sends the
next e-mails over another connection, and a thread records the answer.

While the server is away or refuses us, all e-mails wait and none fails. A problem of one e-mail is recorded on that
e-mail only. A refusal that is probably about us delays that e-mail. The second one in a row, for another recipient,
delays all e-mails.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta

from events.clock import utcnow
from events.database.engine import Database
from events.observability import tracing
from events.observability.logging import get_logger
from opentelemetry.trace import SpanKind

from notifications.claims import Claims
from notifications.composer import Composer
from notifications.config import Config
from notifications.message import address, sender_address
from notifications.models import CHANNEL, Email
from notifications.outcomes import Outcomes
from notifications.smtp import Connection, MailServer
from notifications.smtp_answers import (
    AnswerLostError,
    ConnectionLostError,
    MailBlockedError,
    MailNotSentError,
    MailRefusedError,
    ServerAwayError,
)

MAX_RUN_TIME = timedelta(seconds=5)  # after it, `run` returns so that the worker can stop: it has 10 s in all
ANSWER_WAIT_S = 2.0  # for the answer to an e-mail; then other e-mails are sent meanwhile, over another connection
MAX_AWAITED_ANSWERS = 8  # awaited at the same time; a server that is slow with more e-mails is overloaded

log = get_logger(__name__)


class Sender:
    """Sends due e-mails. Several senders may run in parallel: each e-mail is claimed by one of them."""

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
        self._clock = clock
        self.claims = Claims(config, database, clock)
        self.outcomes = Outcomes(config, database, clock)
        self._composer = Composer(config, clock)
        self._waiting = threading.Semaphore(MAX_AWAITED_ANSWERS)

    def run(self) -> int:
        """Send due e-mails for at most `MAX_RUN_TIME`. Return how many were accepted within `ANSWER_WAIT_S` each.

        The last e-mail may take longer: a connection or a command has `COMMAND_TIMEOUT_S`. Nothing is raised while the
        server is away: the claimed e-mails get a later attempt.
        """
        until, accepted = self._clock() + MAX_RUN_TIME, 0
        while self._clock() <= until and self.claims.has_due():
            if not (emails := self.claims.claim()):
                break  # another sender has claimed them
            remaining = list(emails)
            try:
                accepted += self._send_all(remaining, until)
            except ServerAwayError as error:
                self.outcomes.schedule_retries(remaining, error)
                break
            except _TooManyWaitingError:
                break
            finally:
                self.outcomes.release(remaining)
        return accepted

    def _send_all(self, remaining: list[Email], until: datetime) -> int:
        """Send e-mails over one connection until it breaks, waits for an answer, or the time is over.

        Returns how many the server accepted. Removes an e-mail from `remaining` when its outcome is recorded, or when
        another thread waits for its answer. Raises `ServerAwayError` if the server accepts none now, and
        `_TooManyWaitingError` if no more answers can be awaited.
        """
        accepted = 0
        with self._server.connect() as connection, self._database.autocommit() as execute:
            self.outcomes.record_reachable()
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
                        self.outcomes.check_blocked(email, error)
                    remaining.pop(0)
                    self.outcomes.record(email, error)
                    if isinstance(error, ConnectionLostError | AnswerLostError):
                        break
                else:
                    remaining.pop(0)
                    self.outcomes.mark_sent(email, execute)
                    accepted += 1
        return accepted

    def _hand_over(self, email: Email, connection: Connection) -> "Future[None]":
        """Write an e-mail and hand it over to the server. Return a future of the server's answer.

        Raises the errors of `Connection.transmit`, and `MailRefusedError` if the e-mail cannot be written. If our claim
        has ended, the server drops the e-mail, and this raises `ConnectionLostError`. Raises `_TooManyWaitingError` if
        `MAX_AWAITED_ANSWERS` answers are awaited already.
        """
        try:
            recipient = address(email.recipient or self._config.staff_email).addr_spec
            message = self._composer.compose(email, recipient)
        except Exception as error:  # a defect of this e-mail must not delay the others
            log.exception("e-mail cannot be written, so it is not sent", email_id=email.id, kind=email.kind)
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
                    self.claims.count_handover(email)
            except BaseException:
                self._waiting.release()
                raise
            answer = connection.finish_in_background(self._config.smtp_answer_timeout.total_seconds())
        answer.add_done_callback(lambda _: self._waiting.release())
        return answer

    def _await_answer(self, email: Email, connection: Connection, answer: "Future[None]") -> None:
        """Record the answer when it comes, on the thread that waits for it."""

        def record(done: "Future[None]") -> None:
            connection.close()
            try:
                self.outcomes.record(email, done.exception())
            except Exception:
                log.exception(
                    "the outcome of an e-mail could not be stored, so it is due again when its claim ends",
                    email_id=email.id,
                )
            self._database.signal(CHANNEL).set()  # more e-mails may be due, and one more answer can be awaited

        log.info(
            "mail server has not answered yet, the next e-mails do not wait for it", email_id=email.id, kind=email.kind
        )
        answer.add_done_callback(record)


class _TooManyWaitingError(Exception):
    """As many answers as allowed are awaited. The next e-mail is sent when one of them has come."""
