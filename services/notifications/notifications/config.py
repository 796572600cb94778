"""The settings of the notifications service."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from environs import validate
from events.config import (
    MIN_SECRET_CHARACTERS,
    Common,
    accepted_by,
    database_url_setting,
    load_settings,
    operator_tokens_setting,
    port_setting,
    setting,
)
from events.errors import ConfigError
from events.web.origins import split_http_url
from marshmallow import ValidationError

from notifications.digest import DigestSchedule
from notifications.message import address, sender_address
from notifications.reminders import ReminderMode, ReminderPolicy
from notifications.smtp import MailServer
from notifications.template_check import check_templates
from notifications.template_context import Shop
from notifications.template_loader import FALLBACK_LANGUAGE, Templates
from notifications.unsubscribing import UnsubscribeLinks

MIN_ANSWER_TIMEOUT = timedelta(seconds=10)  # a content filter needs as long, and RFC 5321 (4.5.3.2.6) allows 10 minutes
MAX_ANSWER_TIMEOUT = timedelta(minutes=10)
ABANDONED_CART_DELAY = timedelta(hours=1)  # long enough for a late payment or a cancel to make the reminder stale


def _check_url(value: str) -> None:
    if value:
        split_http_url(value)


def _check_order_url(value: str) -> None:
    _check_url(value)
    if value and "{order_id}" not in value:
        raise ValueError("Use a URL with {order_id} in it.")


def _check_secret(value: str) -> None:
    if value and len(value) < MIN_SECRET_CHARACTERS:
        raise ValidationError(f"Use at least {MIN_SECRET_CHARACTERS} characters.")


def _checked_folder(value: str) -> Path | None:
    """Return the folder of TEMPLATES_DIR, or None if it is not set.

    Every sample e-mail is rendered in every language, so that a broken template stops the start and not a customer's
    e-mail. Raises `ValueError` for a folder that does not exist, an invalid file or an e-mail that cannot be rendered.
    """
    if not value:
        return None
    check_templates(Templates.load(Path(value)))
    return Path(value)


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """The settings of e-mails: server, sender, staff, shop and templates."""

    service: str = "notifications"
    port: int = port_setting(8005)
    database_url: str = database_url_setting()
    operator_tokens: Mapping[str, str] = operator_tokens_setting()
    smtp_url: str = setting(
        "SMTP_URL",
        "The mail server: `smtp://user:password@host:port?starttls=auto` (or `require`, `never`), or `smtps://…`.",
        secret=True,
        checks=[accepted_by(MailServer.parse)],
    )
    smtp_answer_timeout: timedelta = setting(
        "SMTP_ANSWER_TIMEOUT",
        "Seconds to wait for the mail server's answer to a whole e-mail, 10 to 600. Other e-mails are sent meanwhile.",
        default=MAX_ANSWER_TIMEOUT,
        checks=[validate.Range(MIN_ANSWER_TIMEOUT, MAX_ANSWER_TIMEOUT)],
    )
    mail_from: str = setting(
        "MAIL_FROM", "The sender: `Name <address>` or an address.", checks=[accepted_by(sender_address)]
    )
    staff_email: str = setting("STAFF_EMAIL", "The recipient of staff e-mails.", checks=[accepted_by(address)])
    staff_new_order: bool = setting(
        "STAFF_NEW_ORDER",
        "Also send staff an e-mail about each paid order.",
        default=False,
    )
    default_locale: str = setting(
        "DEFAULT_LOCALE",
        "The language of e-mails to a customer if there are no texts in the language of the checkout's `locale` or of "
        "the country on the payment page. `en`, `de`, `fr`, `ja` or a language of `TEMPLATES_DIR`. Empty: English.",
        default="",
        parse=lambda text: text or FALLBACK_LANGUAGE,
    )
    staff_locale: str = setting(
        "STAFF_LOCALE",
        "The language of staff e-mails: `en`, `de`, `fr`, `ja` or a language of `TEMPLATES_DIR`. Empty: English.",
        default="",
        parse=lambda text: text or FALLBACK_LANGUAGE,
    )
    staff_digest: DigestSchedule = setting(
        "STAFF_DIGEST",
        "Collect staff e-mails into one, or a few if there are many: `HH:MM` (daily, UTC), an interval such as `2h`,"
        " or `off`.",
        default="off",
        parse=DigestSchedule.parse,
    )
    staff_order_url: str = setting(
        "STAFF_ORDER_URL",
        "Where staff see an order, with `{order_id}` in the URL. Staff e-mails link to it.",
        default="",
        checks=[accepted_by(_check_order_url)],
    )
    shop_name: str = setting(
        "SHOP_NAME", "The shop's name in e-mails.", default="Clozit", checks=[validate.Length(min=1)]
    )
    shop_url: str = setting(
        "SHOP_URL", "The shop's frontend. E-mails link to it.", default="", checks=[accepted_by(_check_url)]
    )
    templates_dir: Path | None = setting(
        "TEMPLATES_DIR",
        "A folder with the shop's own templates and texts (services/notifications/README.md).",
        default="",
        parse=_checked_folder,
    )
    public_url: str = setting(
        "PUBLIC_URL",
        "The base URL at which customers reach this service's route `/unsubscribe/…`, such as `https://shop.example`. "
        "The unsubscribe links of promotional e-mails begin with it.",
        default="",
        checks=[accepted_by(_check_url)],
    )
    unsubscribe_secret: str = setting(
        "UNSUBSCRIBE_SECRET",
        f"Signs the unsubscribe links and hashes the unsubscribed addresses."
        f" At least {MIN_SECRET_CHARACTERS} characters. Keep it: with another secret, sent links stop working and"
        " unsubscribed addresses get reminders again.",
        default="",
        secret=True,
        checks=[_check_secret],
    )
    abandoned_cart_emails: str = setting(
        "ABANDONED_CART_EMAILS",
        "Who gets abandoned-cart e-mails. `consent`: customers who consented to promotions on Stripe's page. `all`: "
        "also customers who were not asked. `off`: no one. Without `PUBLIC_URL` and `UNSUBSCRIBE_SECRET`, `consent` "
        "sends none, and with `all` the service does not start.",
        default=ReminderMode.CONSENT.value,
        checks=[validate.OneOf([*ReminderMode])],
    )
    abandoned_cart_delay: timedelta = setting(
        "ABANDONED_CART_DELAY",
        "Seconds from the session's end to the abandoned-cart e-mail.",
        default=ABANDONED_CART_DELAY,
        checks=[validate.Range(min=timedelta())],
    )

    @property
    def shop(self) -> Shop:
        """The shop as templates see it."""
        return Shop(self.shop_name, self.shop_url, self.staff_order_url)

    @property
    def unsubscribe_links(self) -> UnsubscribeLinks:
        """The links in promotional e-mails."""
        return UnsubscribeLinks(self.public_url, self.unsubscribe_secret)

    @property
    def reminders(self) -> ReminderPolicy:
        """The rules for reminders of abandoned carts."""
        return ReminderPolicy(self.abandoned_cart_emails, self.unsubscribe_links)


def load() -> Config:
    """Return the settings from the environment. Raises `ConfigError` with every missing or invalid one."""
    config = load_settings(Config)
    if config.abandoned_cart_emails == ReminderMode.ALL and not config.unsubscribe_links:
        raise ConfigError({"ABANDONED_CART_EMAILS": ["`all` needs PUBLIC_URL and UNSUBSCRIBE_SECRET. Set both."]})
    return config
