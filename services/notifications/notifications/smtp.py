"""SMTP: one connection to the mail server, and the meaning of its answers for a mail."""

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

TIMEOUT_S = 10  # for each answer; a healthy server needs less than one second
DEFAULT_PORTS: Mapping[str, int] = {"smtp": 587, "smtps": 465}
STARTTLS_MODES = ("auto", "require", "never")
SHUTTING_DOWN = 421  # the server closes the connection after this answer to any command


class ServerAwayError(Exception):
    """No session began: the server is away, or TLS or the login failed. Nothing is wrong with any mail."""


class ConnectionLostError(Exception):
    """The connection broke during a mail. The server may or may not have accepted it."""


class MailDeferredError(Exception):
    """The server does not accept this mail now, or not from this sender: try again later."""


class MailRefusedError(Exception):
    """The server will never accept this mail for this recipient."""


@dataclass(frozen=True)
class MailServer:
    """The mail server of SMTP_URL. `starttls` is auto (encrypt if the server offers it), require or never."""

    host: str
    port: int
    encrypted: bool = False
    starttls: str = "auto"
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the server of a URL. Raises `ValueError`, without the URL in it: the URL may contain a password."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise ValueError("The port is not a number. Write / : or @ in the password as %2F %3A %40.") from None
        starttls = dict(parse_qsl(parts.query)).get("starttls", "auto")
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError("Use smtp://[user:password@]host[:port] or smtps://…")
        if starttls not in STARTTLS_MODES:
            raise ValueError(f"Set starttls to one of {', '.join(STARTTLS_MODES)}.")
        return cls(
            host=parts.hostname,
            port=port or DEFAULT_PORTS[parts.scheme],
            encrypted=parts.scheme == "smtps",
            starttls=starttls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def connect(self) -> "Connection":
        """Connect, encrypt and log in. Raises `ServerAwayError`."""
        try:
            return Connection(self._open())
        except (smtplib.SMTPException, OSError) as error:
            raise ServerAwayError(_describe(error)) from error

    def _open(self) -> smtplib.SMTP:
        if self.encrypted:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        try:
            self._begin_session(client)
        except BaseException:
            client.close()
            raise
        return client

    def _begin_session(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        offered = client.has_extn("starttls")
        if not self.encrypted and (self.starttls == "require" or (self.starttls == "auto" and offered)):
            client.starttls(context=ssl.create_default_context())
        if self.user:
            client.login(self.user, self.password)


class Connection:
    """An open session, over which mails are sent one after the other."""

    def __init__(self, client: smtplib.SMTP) -> None:
        self._client = client

    def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Return when the server has accepted the mail.

        Raises `ConnectionLostError`, `MailDeferredError` or `MailRefusedError`.
        """
        try:
            self._client.send_message(message, sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            raise _error_for(*error.recipients[recipient]) from error
        except smtplib.SMTPSenderRefused as error:  # our own address is at fault, not this recipient's
            raise MailDeferredError(_describe(error)) from error
        except smtplib.SMTPNotSupportedError as error:  # an address that this server cannot handle
            raise MailRefusedError(_describe(error)) from error
        except smtplib.SMTPResponseException as error:
            raise _error_for(error.smtp_code, error.smtp_error) from error
        except ValueError as error:  # characters that cannot be sent
            raise MailRefusedError(_describe(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise ConnectionLostError(_describe(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._client.quit()
        except (smtplib.SMTPException, OSError):
            self._client.close()


def _error_for(code: int, answer: bytes | str) -> Exception:
    description = f"{code} {_text(answer)}"
    if code == SHUTTING_DOWN:
        return ConnectionLostError(description)
    return MailRefusedError(description) if 500 <= code < 600 else MailDeferredError(description)


def _describe(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return str(error) or type(error).__name__


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
