"""What the notifications service is told by its environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from environs import validate
from events.config import Common, common, reading
from marshmallow import ValidationError

from notifications.message import address, sender_address
from notifications.smtp import Server

ABANDONED_CART_DELAY = timedelta(hours=1)  # long enough for a late payment or a cancel to overtake the reminder


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    smtp_url: str = field(repr=False)  # smtp:// or smtps://user:password@host:port?starttls=auto|require|never
    mail_from: str  # an address, or "Name <address>"
    staff_email: str
    shop_name: str = "Clozit"
    shop_url: str = ""  # where a customer may start again; without one, mails bear no such link
    abandoned_cart_delay: timedelta = ABANDONED_CART_DELAY


def load() -> Config:
    with reading() as env:
        return Config(
            **common(env, service="notifications", port=8005),
            smtp_url=env.str("SMTP_URL", validate=_readable(Server.parse)),
            mail_from=env.str("MAIL_FROM", validate=_readable(sender_address)),
            staff_email=env.str("STAFF_EMAIL", validate=_readable(address)),
            shop_name=env.str("SHOP_NAME", "Clozit", validate=validate.Length(min=1)),
            shop_url=env.str("SHOP_URL", "", validate=_readable(_web_address)),
            abandoned_cart_delay=env.timedelta(
                "ABANDONED_CART_DELAY", ABANDONED_CART_DELAY, validate=validate.Range(min=timedelta())
            ),
        )


def _readable(read: Any) -> Any:
    """A validator: the value is good when `read` takes it without a `ValueError`, whose text names the fault."""

    def check(value: str) -> None:
        try:
            read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return check


def _web_address(value: str) -> None:
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError("Give an http or https address.")
