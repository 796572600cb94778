"""The e-mail message: headers, a text part, and an HTML part with the same content."""

import hashlib
import re
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr
from functools import cache

from notifications.rendering import RenderedMail

UNFOLDED = "List-Unsubscribe"  # Python would encode a long URL, and mail programs would not find it


class _Policy(EmailPolicy):
    """Python's e-mail policy, except that the header `UNFOLDED` keeps its URL on one line."""

    def fold(self, name: str, value: str) -> str:
        return f"{name}: {value}{self.linesep}" if name == UNFOLDED else super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii") if name == UNFOLDED else super().fold_binary(name, value)


# Every mail server can forward 7-bit text. The policy refuses line breaks in headers.
EMAIL_POLICY = _Policy(linesep=SMTP.linesep, cte_type="7bit")
MAX_ID_CHARACTERS = 100  # characters left of the @ that stay readable; a longer id is shortened to a hash
HASH_DIGITS = 32  # hexadecimal digits: 128 bits
FORBIDDEN = re.compile(r'[\s,;:<>()"\[\]\\]')  # valid only within quotes or lists, which no customer's address needs
NOT_AN_ADDRESS = "This is not one plain e-mail address."


def compose(
    rendered: RenderedMail,
    *,
    sender: str,
    recipient: str,
    message_id: str,
    sent_at: datetime,
    unsubscribe_url: str = "",
) -> EmailMessage:
    """Return the e-mail: headers, text and HTML. Raises `ValueError` if the recipient is not exactly one plain address.

    With an `unsubscribe_url`, headers let mail programs offer a button that unsubscribes with one click (RFC 8058).
    """
    message = EmailMessage(EMAIL_POLICY)
    message["From"] = sender_address(sender)
    message["To"] = address(recipient)
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(sent_at)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation responder answers
    if unsubscribe_url:
        message[UNFOLDED] = f"<{unsubscribe_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = rendered.language  # set earlier, it would move into the text part
    return message


def address(text: str, name: str = "") -> Address:
    """Return one e-mail address, with its domain in ASCII. Raises `ValueError` for anything else, also for a list."""
    local, _, domain = text.rpartition("@")
    if not (local and domain and text.isprintable()) or FORBIDDEN.search(text):
        raise ValueError(NOT_AN_ADDRESS)
    try:
        return Address(display_name=name, addr_spec=f"{local}@{domain.encode('idna').decode('ascii')}")
    except (UnicodeError, MessageError) as error:
        raise ValueError(NOT_AN_ADDRESS) from error


@cache
def sender_address(text: str) -> Address:
    """Return the address of "address" or "Name <address>". Raises `ValueError` for anything else."""
    name, plain = parseaddr(text)
    return address(plain, name)


def message_id(kind: str, checkout_id: str | None, subject_key: str, sender: str) -> str:
    """Return the Message-ID of an occasion: the same one in each attempt, so that mail programs can drop a duplicate.

    A resend has a separate Message-ID, because it has a separate subject key.
    """
    readable = ".".join((kind, checkout_id, subject_key) if checkout_id else (kind, subject_key))
    if len(readable) > MAX_ID_CHARACTERS or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", readable):
        readable = f"{kind}.{hashlib.sha256(readable.encode()).hexdigest()[:HASH_DIGITS]}"
    return f"<{readable}@{sender_address(sender).domain}>"
