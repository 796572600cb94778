"""The notifications service's settings, from the environment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from environs import validate
from events.config import Common, common_settings, read_environment
from marshmallow import ValidationError

from notifications.digest import NO_DIGEST, DigestSchedule
from notifications.message import address, sender_address
from notifications.samples import check_templates
from notifications.smtp import MailServer
from notifications.template_context import Shop
from notifications.template_loader import FALLBACK_LANGUAGE, Templates

ABANDONED_CART_DELAY = timedelta(hours=1)  # long enough for a late payment or a cancel to make the reminder stale


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings of mails: server, sender, staff, shop and templates."""

    smtp_url: str = field(repr=False)  # smtp:// or smtps://user:password@host:port?starttls=auto|require|never
    mail_from: str  # an address, or "Name <address>"
    staff_email: str
    staff_locale: str = FALLBACK_LANGUAGE
    staff_digest: DigestSchedule = NO_DIGEST
    staff_order_url: str = ""  # an order's page for staff, with {order_id}; without one, mails have only the route
    shop_name: str = "Clozit"
    shop_url: str = ""  # where a customer can order again; without one, mails have no such link
    templates_dir: Path | None = None  # the shop's own templates and texts
    abandoned_cart_delay: timedelta = ABANDONED_CART_DELAY

    @property
    def shop(self) -> Shop:
        """The shop as templates see it."""
        return Shop(self.shop_name, self.shop_url, self.staff_order_url)


def load() -> Config:
    """Read the settings. Raises `ConfigError` with all missing and invalid ones."""
    with read_environment() as env:
        return Config(
            **common_settings(env, service="notifications", port=8005),
            smtp_url=env.str("SMTP_URL", validate=_accepted_by(MailServer.parse)),
            mail_from=env.str("MAIL_FROM", validate=_accepted_by(sender_address)),
            staff_email=env.str("STAFF_EMAIL", validate=_accepted_by(address)),
            staff_locale=env.str("STAFF_LOCALE", "") or FALLBACK_LANGUAGE,
            staff_digest=_digest(env.str("STAFF_DIGEST", "off", validate=_accepted_by(DigestSchedule.parse))),
            staff_order_url=env.str("STAFF_ORDER_URL", "", validate=_accepted_by(_check_order_url)),
            shop_name=env.str("SHOP_NAME", "Clozit", validate=validate.Length(min=1)),
            shop_url=env.str("SHOP_URL", "", validate=_accepted_by(_check_url)),
            templates_dir=_folder(env.str("TEMPLATES_DIR", "", validate=_accepted_by(_check_folder))),
            abandoned_cart_delay=env.timedelta(
                "ABANDONED_CART_DELAY", ABANDONED_CART_DELAY, validate=validate.Range(min=timedelta())
            ),
        )


def _accepted_by(read: Callable[[str], object]) -> Callable[[str], None]:
    """Return a validator that accepts a value if `read` raises no `ValueError` for it."""

    def check(value: str) -> None:
        try:
            read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return check


def _check_url(value: str) -> None:
    parts = urlsplit(value)
    if value and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError("Use an http or https URL.")


def _check_order_url(value: str) -> None:
    _check_url(value)
    if value and "{order_id}" not in value:
        raise ValueError("Use a URL with {order_id} in it.")


def _check_folder(value: str) -> None:
    """Render every mail once, so that a broken template stops the start and not a customer's mail."""
    if value:
        check_templates(Templates.load(Path(value)))


def _folder(value: str | None) -> Path | None:
    return Path(value) if value else None


def _digest(value: str | None) -> DigestSchedule:
    """Return the schedule. The value is None if it was invalid: the start fails later, with all invalid values."""
    return DigestSchedule.parse(value) if value else NO_DIGEST
