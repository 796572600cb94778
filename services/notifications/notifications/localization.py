"""Languages: texts, money and times as their readers write them.

A language is one file, ``translations/<language>.toml``. For a language without a file, everything is in English.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from babel.languages import get_official_languages
from events import money

from notifications.kinds import STAFF_KINDS
from notifications.template_loader import FALLBACK_LANGUAGE, Texts, Translations, built_in_translations


@dataclass(frozen=True)
class Language:
    """The texts of a language, and the number and date formats of one region."""

    locale: Locale
    texts: Texts

    @property
    def tag(self) -> str:
        """The language's tag as in HTML's `lang` and Content-Language: ``de-CH``."""
        return str(self.locale).replace("_", "-")

    def text(self, section: str, key: str, variants: Sequence[str] = (), **values: str) -> str:
        """Return a text of the section, or else of the shared sections: [staff] for e-mails to staff, and [common].

        The first existing variant wins: `lead_part` before `lead`. Raises `KeyError` if there is no such text, or if it
        has a placeholder without a value.
        """
        for name in (*(f"{key}_{variant}" for variant in variants), key):
            if (found := self.find(section, name, **values)) is not None:
                return found
        raise KeyError(f"[{section}] {key}")

    def find(self, section: str, key: str, **values: str) -> str | None:
        """Return a section's text or the shared one, with its values filled in; None if there is neither.

        Raises `KeyError` if the text has a placeholder without a value.
        """
        shared = ("staff", "common") if section in STAFF_KINDS else ("common",)
        for place in (section, *shared):
            if (found := self.texts[place].get(key)) is not None:
                return found.format(**values)
        return None

    def money(self, minor: int, currency: str) -> str:
        """Return an amount, given in minor units, as the language's readers write it: 10,00 €."""
        return format_money(minor, currency, self.locale)

    def moment(self, instant: datetime) -> str:
        """Return the date and time in UTC, with "UTC" in it."""
        day = format_date(instant.astimezone(UTC), "long", locale=self.locale)
        time = format_time(instant.astimezone(UTC), "short", locale=self.locale)
        return _with_plain_spaces(self.text("common", "moment", day=day, time=time))


def preferred_locale(tag: str | None, country: str | None, default: str, translations: Translations) -> str:
    """Return the customer's locale if we have its language, else that of their country, else the shop's default.

    Only a country's first official language counts, because not every customer there reads the others.
    """
    if tag and tag != "auto" and (locale := _parse(tag)) and locale.language in translations:
        return tag
    official = get_official_languages(country, de_facto=True) if country else ()
    if official and official[0] in translations:
        return f"{official[0]}-{country}"
    return default


def _parse(tag: str) -> Locale | None:
    try:
        return Locale.parse(tag.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        return None


def choose_language(tag: str | None, translations: Translations | None = None) -> Language:
    """Return the language of a tag such as ``de-CH``. English if there are no texts for it, as for ``auto``."""
    locale = _parse(tag or FALLBACK_LANGUAGE) or Locale(FALLBACK_LANGUAGE)
    texts = translations or built_in_translations()
    if locale.language not in texts:
        locale = Locale(FALLBACK_LANGUAGE)
    return Language(locale, texts[locale.language])


def format_money(minor: int, currency: str, locale: Locale | str) -> str:
    """Return an amount, given in Stripe's minor units, as the locale writes money: 10,00 €.

    The fraction digits are Stripe's, because Babel's differ for some currencies.
    An amount in an unsupported currency stays in minor units, and the text says so. Staff get e-mails about such
    payments.
    """
    if currency not in money.SUPPORTED:
        return money.format_amount(minor, currency)
    value = money.to_decimal(minor, currency)
    whole = currency in money.TWO_DECIMAL_WHOLE and value == value.to_integral_value()
    digits = 0 if whole else money.exponent(currency)
    locale = Locale.parse(locale)
    pattern: Any = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    written: str = pattern.apply(value, locale, currency=currency.upper(), currency_digits=False)
    # CLDR wants a space between letters and digits, as in ISK 1,500; Babel writes none.
    return _with_plain_spaces(re.sub(r"(?<=[A-Za-z])(\.?)(?=\d)", "\\1\N{NO-BREAK SPACE}", written))


def _with_plain_spaces(text: str) -> str:
    """Replace narrow no-break spaces by no-break spaces of normal width: many fonts show a box for narrow ones."""
    return text.replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")
