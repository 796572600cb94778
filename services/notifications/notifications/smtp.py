"""SMTP: one connection to the mail server. smtp_answers.py has the meaning of its answers.

An e-mail is sent in two steps. `transmit` sends everything but the final dot: until then, the server has accepted
nothing. `finish` sends the dot and waits for the answer, which can take minutes (RFC 5321, 4.5.3.2.6). If the
connection breaks before the answer, the server may have the e-mail, and the next attempt may send a copy.
"""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.generator import BytesGenerator
from email.message import EmailMessage
from io import BytesIO
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

from events.web.origins import split_url

from notifications.smtp_answers import (
    SHUTTING_DOWN_CODE,
    AnswerLostError,
    BlockedError,
    ConnectionLostError,
    MailRefusedError,
    ServerAwayError,
    describe,
    error_for,
)

COMMAND_TIMEOUT_S = 10  # for the connection and each command; a healthy server needs less than one second
DEFAULT_PORTS: Mapping[str, int] = {"smtp": 587, "smtps": 465}
STARTTLS_MODES = ("auto", "require", "never")


@dataclass(frozen=True)
class MailServer:
    """The mail server of SMTP_URL.

    `starttls` is auto (encrypt if the server offers it, and never send a password in clear), require (refuse a server
    that does not offer it) or never (in clear, also the password).
    """

    host: str
    port: int
    encrypted: bool = False
    starttls: str = "auto"
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the server of a URL. Raises `ValueError`, without the URL in it: the URL may contain a password."""
        try:
            parts = split_url(url)
        except ValueError as error:
            raise ValueError(f"{error} In the password, write / as %2F, : as %3A and @ as %40.") from None
        starttls = dict(parse_qsl(parts.query)).get("starttls", "auto")
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("Use smtp://[user:password@]host[:port] or smtps://…")
        if starttls not in STARTTLS_MODES:
            raise ValueError(f"Set starttls to one of {', '.join(STARTTLS_MODES)}.")
        return cls(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORTS[parts.scheme],
            encrypted=parts.scheme == "smtps",
            starttls=starttls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def connect(self) -> "Connection":
        """Connect, encrypt by smtps or as `starttls` says, log in if there is a user, and return the connection.

        Raises `BlockedError` if the server refuses us, and `ServerAwayError` if another reason prevents the connection.
        """
        try:
            return Connection(self._open())
        except smtplib.SMTPNotSupportedError as error:
            raise BlockedError(describe(error)) from error
        except smtplib.SMTPResponseException as error:
            kind = BlockedError if 500 <= error.smtp_code < 600 else ServerAwayError
            raise kind(describe(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise ServerAwayError(describe(error)) from error

    def _open(self) -> smtplib.SMTP:
        if self.encrypted:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=COMMAND_TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=COMMAND_TIMEOUT_S)
        try:
            self._begin_session(client)
        except BaseException:
            client.close()
            raise
        return client

    def _begin_session(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        is_encrypted, is_offered = self.encrypted, client.has_extn("starttls")
        if not is_encrypted and self.starttls == "require" and not is_offered:
            raise BlockedError(
                "The server offers no STARTTLS. Use smtps://, the server's port with STARTTLS, or starttls=auto."
            )
        if not is_encrypted and self.starttls != "never" and is_offered:
            client.starttls(context=ssl.create_default_context())
            is_encrypted = True
        if self.user and not is_encrypted and self.starttls == "auto":
            raise BlockedError(
                "The server offers no STARTTLS, and a password is not sent in clear. Use smtps:// or the server's port"
                " with STARTTLS. For a server on a trusted network, set starttls=never."
            )
        if self.user:
            client.login(self.user, self.password)
        client.ehlo_or_helo_if_needed()
        if client.sock is not None:  # the final dot is a small packet, which must not wait for the ack of the e-mail
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _on_thread(task: Callable[[], None]) -> None:
    threading.Thread(target=task, name="smtp-answer", daemon=True).start()


class Connection:
    """An open SMTP session, over which e-mails are sent one after the other.

    `spawn` runs a function in the background, by default on a new thread. `finish_in_background` uses it, because a
    server can take minutes to answer.
    """

    def __init__(self, client: smtplib.SMTP, spawn: Callable[[Callable[[], None]], None] = _on_thread) -> None:
        self._client, self._spawn = client, spawn
        self._is_ours = True

    def transmit(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Send an e-mail without its final dot: the server has accepted nothing yet.

        Raises `ConnectionLostError`, `MailDeferredError`, `MailBlockedError` or `MailRefusedError`.
        """
        try:
            self._transmit(message, sender, recipient)
        except smtplib.SMTPNotSupportedError as error:  # an address that this server cannot handle
            raise MailRefusedError(describe(error)) from error
        except ValueError as error:  # characters that cannot be sent
            raise MailRefusedError(describe(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise ConnectionLostError(describe(error)) from error

    def _transmit(self, message: EmailMessage, sender: str, recipient: str) -> None:
        is_international = not f"{sender}{recipient}".isascii()
        if is_international and not self._client.has_extn("smtputf8"):
            raise smtplib.SMTPNotSupportedError("The server does not support addresses with non-ASCII characters.")
        content = _content(message, is_international)
        options = ["SMTPUTF8", "BODY=8BITMIME"] if is_international else []
        if self._client.has_extn("size"):
            options.append(f"size={len(content)}")
        self._expect("MAIL", 250, self._client.mail(sender, options))
        self._expect("RCPT", 250, self._client.rcpt(recipient))
        self._expect("DATA", 354, self._client.docmd("DATA"))
        self._client.send(content)

    def finish(self, timeout: float) -> None:
        """Send the final dot, and return when the server has accepted the e-mail. Wait at most `timeout` seconds.

        Raises `AnswerLostError`, `ConnectionLostError`, `MailDeferredError`, `MailBlockedError` or `MailRefusedError`.
        """
        if self._client.sock is None:
            raise ConnectionLostError("the connection was closed before the end of the e-mail")
        try:
            self._client.sock.settimeout(timeout)
            self._client.send(b".\r\n")
            answer = self._client.getreply()
            self._client.sock.settimeout(COMMAND_TIMEOUT_S)
        except (smtplib.SMTPException, OSError) as error:
            self._client.close()
            raise AnswerLostError(describe(error)) from error
        self._expect("end of DATA", 250, answer)

    def finish_in_background(self, timeout: float) -> "Future[None]":
        """Call `finish` in the background, by `spawn`. Return a future of the result."""
        answer: Future[None] = Future()

        def finish() -> None:
            try:
                self.finish(timeout)
            except Exception as error:  # noqa: BLE001 - the future passes it on
                answer.set_exception(error)
            else:
                answer.set_result(None)

        self._spawn(finish)
        return answer

    def detach(self) -> None:
        """Keep the connection open after the `with` block: the thread that waits for an answer closes it."""
        self._is_ours = False

    def close(self) -> None:
        """End the SMTP session with QUIT, or only close the connection if the server does not answer."""
        try:
            self._client.quit()
        except (smtplib.SMTPException, OSError):
            self._client.close()

    @contextmanager
    def aborted_on_error(self) -> Iterator[None]:
        """Close the connection if the block raises: the server then drops the unfinished e-mail."""
        try:
            yield
        except BaseException:
            self._client.close()
            raise

    def _expect(self, command: str, wanted: int, answer: tuple[int, bytes]) -> None:
        """Raise the error for an answer whose code is not `wanted`. The session is reset first, for the next e-mail."""
        code, text = answer
        if code == wanted or (command == "RCPT" and code == 251):  # the server forwards the e-mail
            return
        if code == SHUTTING_DOWN_CODE:
            self._client.close()
        else:
            try:
                self._client.rset()
            except (smtplib.SMTPException, OSError):
                self._client.close()
        raise error_for(command, code, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._is_ours:
            self.close()


def _content(message: EmailMessage, is_international: bool) -> bytes:
    """Return the bytes that follow DATA, without the final dot. Dots at the beginning of lines are doubled."""
    policy: Any = message.policy
    policy = policy.clone(utf8=True) if is_international else policy
    buffer = BytesIO()
    BytesGenerator(buffer, policy=policy).flatten(message, linesep="\r\n")
    content = re.sub(rb"(?m)^\.", b"..", buffer.getvalue())
    return content if content.endswith(b"\r\n") else content + b"\r\n"
