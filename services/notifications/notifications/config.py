"""What the notifications service is told by its environment."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environs import validate
from events.config import Common, common_settings, read_environment
from marshmallow import ValidationError

from notifications.digest import NO_DIGEST, Digest
from notifications.message import address, sender_address
from notifications.rendering import Shop
from notifications.samples import check
from notifications.smtp import Server
from notifications.sources import FALLBACK, Source

ABANDONED_CART_DELAY = timedelta(hours=1)  # long enough for a late payment or a cancel to overtake the reminder


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    smtp_url: str = field(repr=False)  # smtp:// or smtps://user:password@host:port?starttls=auto|require|never
    mail_from: str  # an address, or "Name <address>"
    staff_email: str
    staff_locale: str = FALLBACK
    staff_digest: Digest = NO_DIGEST
    staff_order_url: str = ""  # where staff see an order, {order_id} in it; without one, mails name the route alone
    shop_name: str = "Clozit"
    shop_url: str = ""  # where a customer may start again; without one, mails bear no such link
    templates: Path | None = None  # the shop's own templates and texts
    abandoned_cart_delay: timedelta = ABANDONED_CART_DELAY

    @property
    def shop(self) -> Shop:
        return Shop(self.shop_name, self.shop_url, self.staff_order_url)


def load() -> Config:
    with read_environment() as env:
        return Config(
            **common_settings(env, service="notifications", port=8005),
            smtp_url=env.str("SMTP_URL", validate=_readable(Server.parse)),
            mail_from=env.str("MAIL_FROM", validate=_readable(sender_address)),
            staff_email=env.str("STAFF_EMAIL", validate=_readable(address)),
            staff_locale=env.str("STAFF_LOCALE", "") or FALLBACK,
            staff_digest=_digest(env.str("STAFF_DIGEST", "off", validate=_readable(Digest.parse))),
            staff_order_url=env.str("STAFF_ORDER_URL", "", validate=_readable(_order_address)),
            shop_name=env.str("SHOP_NAME", "Clozit", validate=validate.Length(min=1)),
            shop_url=env.str("SHOP_URL", "", validate=_readable(_web_address)),
            templates=_folder(env.str("TEMPLATES_DIR", "", validate=_readable(_templates))),
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


def _order_address(value: str) -> None:
    _web_address(value)
    if value and "{order_id}" not in value:
        raise ValueError("Give an address with {order_id} in it.")


def _templates(value: str) -> None:
    """Every mail is written once: what is wrong with the shop's folder shows at the start, not at a sale."""
    if value:
        check(Source.of(Path(value)))


def _folder(value: str | None) -> Path | None:
    return Path(value) if value else None


def _digest(value: str | None) -> Digest:
    """The text is None where it was not valid, and the start is to fail with everything that is wrong."""
    return Digest.parse(value) if value else NO_DIGEST
