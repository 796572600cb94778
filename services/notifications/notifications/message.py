"""The mail as it travels: headers, a text part and an HTML part that say the same."""

import hashlib
import re
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache

from notifications.rendering import Rendered

POLICY = SMTP.clone(cte_type="7bit")  # every relay carries it; the policy refuses line breaks in headers
ID_LENGTH = 100  # characters left of the @ that stay readable; a longer id is shortened to a hash
HASH_LENGTH = 32  # hexadecimal digits: 128 bits
FORBIDDEN = re.compile(r'[\s,;:<>()"\[\]\\]')  # valid only within quotes or lists, which no customer's address needs
NOT_AN_ADDRESS = "This is not one plain e-mail address."


def compose(rendered: Rendered, *, sender: str, recipient: str, message_id: str, at: datetime) -> EmailMessage:
    """Raises `ValueError` when the recipient is not exactly one plain address."""
    message = EmailMessage(POLICY)
    message["From"] = sender_address(sender)
    message["To"] = address(recipient)
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: vacation responders keep silent
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = rendered.language  # set before, it would have moved into the text part
    return message


def address(text: str, name: str = "") -> Address:
    """One mail address, its domain in ASCII. Raises `ValueError` for anything else, a list of two included."""
    local, _, domain = text.rpartition("@")
    if not (local and domain and text.isprintable()) or FORBIDDEN.search(text):
        raise ValueError(NOT_AN_ADDRESS)
    try:
        return Address(display_name=name, addr_spec=f"{local}@{domain.encode('idna').decode('ascii')}")
    except (UnicodeError, MessageError) as error:
        raise ValueError(NOT_AN_ADDRESS) from error


@cache
def sender_address(text: str) -> Address:
    """An address, or "Name <address>". Raises `ValueError`."""
    name, plain = parseaddr(text)
    return address(plain, name)


def message_id(kind: str, checkout_id: str | None, subject_key: str, sender: str) -> str:
    """The same for the same occasion for ever, so that whoever gets a mail twice can tell: ``<…@our domain>``."""
    readable = ".".join((kind, checkout_id, subject_key) if checkout_id else (kind, subject_key))
    if len(readable) > ID_LENGTH or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", readable):
        readable = f"{kind}.{hashlib.sha256(readable.encode()).hexdigest()[:HASH_LENGTH]}"
    return f"<{readable}@{sender_address(sender).domain}>"
