"""One conversation with the mail server, and what its answers mean for a mail."""

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

TIMEOUT = 10  # seconds for each answer; a healthy server takes less than one
PORTS: Mapping[str, int] = {"smtp": 587, "smtps": 465}
STARTTLS = ("auto", "require", "never")


class Unreachable(Exception):  # noqa: N818 - names the state of the server
    """No conversation began: server away, TLS or login refused. It says nothing about any mail."""


class Interrupted(Exception):  # noqa: N818 - names what happened to the conversation
    """The conversation broke off during a mail; the server may or may not have taken it."""


class Deferred(Exception):  # noqa: N818 - the server's answer
    """The server does not take this mail now, or not from this sender: try again later."""


class Refused(Exception):  # noqa: N818 - the server's answer
    """The server will never take this mail for this recipient."""


@dataclass(frozen=True)
class Server:
    """A mail server as SMTP_URL names it. `starttls`: auto encrypts where the server offers it."""

    host: str
    port: int
    encrypted: bool = False
    starttls: str = "auto"
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises `ValueError` with a sentence that does not repeat the URL, which may bear a password."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            raise ValueError("The port is no number; a / : or @ in the password is written %2F %3A %40.") from None
        starttls = dict(parse_qsl(parts.query)).get("starttls", "auto")
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("Give smtp://[user:password@]host[:port] or smtps://…")
        if starttls not in STARTTLS:
            raise ValueError(f"starttls is one of {', '.join(STARTTLS)}.")
        return cls(
            host=parts.hostname,
            port=port or PORTS[parts.scheme],
            encrypted=parts.scheme == "smtps",
            starttls=starttls,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    def connect(self) -> "Connection":
        """Greet, encrypt and log in. Raises `Unreachable`."""
        try:
            return Connection(self._open())
        except (smtplib.SMTPException, OSError) as error:
            raise Unreachable(_said(error)) from error

    def _open(self) -> smtplib.SMTP:
        if self.encrypted:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        else:
            client = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)
        try:
            self._introduce(client)
        except BaseException:
            client.close()
            raise
        return client

    def _introduce(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        offered = client.has_extn("starttls")
        if not self.encrypted and (self.starttls == "require" or (self.starttls == "auto" and offered)):
            client.starttls(context=ssl.create_default_context())
        if self.user:
            client.login(self.user, self.password)


class Connection:
    """An open conversation; mails go through it one after the other."""

    def __init__(self, client: smtplib.SMTP) -> None:
        self._client = client

    def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Return once the server has taken the mail. Raises `Interrupted`, `Deferred` or `Refused`."""
        try:
            self._client.send_message(message, sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            raise _verdict(*error.recipients[recipient]) from error
        except smtplib.SMTPSenderRefused as error:  # our own address is at fault, not this recipient's
            raise Deferred(_said(error)) from error
        except smtplib.SMTPNotSupportedError as error:  # an address that this server cannot write
            raise Refused(_said(error)) from error
        except smtplib.SMTPResponseException as error:
            raise _verdict(error.smtp_code, error.smtp_error) from error
        except ValueError as error:  # characters that cannot go over the wire
            raise Refused(_said(error)) from error
        except (smtplib.SMTPException, OSError) as error:
            raise Interrupted(_said(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._client.quit()
        except (smtplib.SMTPException, OSError):
            self._client.close()


SHUTTING_DOWN = 421  # the server ends the conversation with this answer, whatever was asked


def _verdict(code: int, text: bytes | str) -> Exception:
    said = f"{code} {_text(text)}"
    if code == SHUTTING_DOWN:
        return Interrupted(said)
    return Refused(said) if 500 <= code < 600 else Deferred(said)


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return str(error) or type(error).__name__


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
