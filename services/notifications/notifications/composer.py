"""The composer: writes each e-mail in the language of its recipient."""

from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage

from notifications.config import Config
from notifications.kinds import PROMOTIONAL_KINDS
from notifications.localization import preferred_locale
from notifications.message import compose, message_id
from notifications.models import Email
from notifications.rendering import render_with_fallback
from notifications.template_loader import Templates


def message_id_for(email: Email, mail_from: str) -> str:
    """Return the Message-ID of an e-mail: the same one in each attempt."""
    return email.message_id or message_id(email.kind, email.checkout_id, email.subject_key, mail_from)


class Composer:
    """Composes e-mails from templates, with the settings of the shop."""

    def __init__(self, config: Config, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._links = config.unsubscribe_links
        self._templates = Templates.load(config.templates_dir)
        self._clock = clock

    def compose(self, email: Email, recipient: str) -> EmailMessage:
        """Return the whole message for a recipient.

        Raises `ValueError` if the recipient is not one plain address, and any error of the package's own templates.
        """
        unsubscribe_url = self._links.url(recipient) if email.kind in PROMOTIONAL_KINDS else ""
        data = {**email.event_data, "unsubscribe_url": unsubscribe_url}
        return compose(
            render_with_fallback(email.kind, self._locale(email), data, self._config.shop, self._templates),
            sender=self._config.mail_from,
            recipient=recipient,
            message_id=message_id_for(email, self._config.mail_from),
            sent_at=self._clock(),
            unsubscribe_url=unsubscribe_url,
        )

    def _locale(self, email: Email) -> str:
        if email.recipient is None:
            return self._config.staff_locale
        country = email.event_data.get("customer_country")
        return preferred_locale(email.locale, country, self._config.default_locale, self._templates.translations)
