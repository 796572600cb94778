"""Languages, money and dates as a reader writes them.

A language is one file, ``translations/<language>.toml``; where there is none, the reader gets English throughout.
"""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from events import money

from notifications.kinds import STAFF_KINDS
from notifications.sources import FALLBACK, Texts, Translations, built_in_translations


@dataclass(frozen=True)
class Language:
    """Texts of one language; numbers and dates of one region that speaks it."""

    locale: Locale
    texts: Texts

    @property
    def tag(self) -> str:
        """As HTML's `lang` and Content-Language want it: ``de-CH``."""
        return str(self.locale).replace("_", "-")

    def text(self, section: str, key: str, variants: Sequence[str] = (), **values: str) -> str:
        """The text of a kind of mail, or else the one that all kinds share; the first variant that there is.

        Raises `KeyError` where there is no such text, or it names what `values` lacks.
        """
        for name in (*(f"{key}_{variant}" for variant in variants), key):
            if (found := self.find(section, name, **values)) is not None:
                return found
        raise KeyError(f"[{section}] {key}")

    def find(self, section: str, key: str, **values: str) -> str | None:
        shared = ("staff", "common") if section in STAFF_KINDS else ("common",)
        for place in (section, *shared):
            if (found := self.texts[place].get(key)) is not None:
                return found.format(**values)
        return None

    def money(self, minor: int, currency: str) -> str:
        return format_money(minor, currency, self.locale)

    def moment(self, at: datetime) -> str:
        """A date and a time of day, in UTC and saying so."""
        day = format_date(at.astimezone(UTC), "long", locale=self.locale)
        time = format_time(at.astimezone(UTC), "short", locale=self.locale)
        return _plain_spaces(self.text("common", "moment", day=day, time=time))


def language(tag: str | None, translations: Translations | None = None) -> Language:
    """The language nearest to a tag such as ``de-CH`` or Stripe's ``auto``."""
    try:
        locale = Locale.parse((tag or FALLBACK).replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        locale = Locale(FALLBACK)
    texts = translations or built_in_translations()
    if locale.language not in texts:
        locale = Locale(FALLBACK)
    return Language(locale, texts[locale.language])


def format_money(minor: int, currency: str, locale: Locale | str) -> str:
    """Stripe's integer amount as money, with the fraction digits of Stripe's exponents: Babel's own differ."""
    value = money.to_decimal(minor, currency)
    whole = currency in money.TWO_DECIMAL_WHOLE and value == value.to_integral_value()
    digits = 0 if whole else money.exponent(currency)
    locale = Locale.parse(locale)
    pattern: Any = copy.copy(locale.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    written: str = pattern.apply(value, locale, currency=currency.upper(), currency_digits=False)
    # CLDR wants a space between letters and digits, as in ISK 1,500; Babel glues them.
    return _plain_spaces(re.sub(r"(?<=[A-Za-z])(\.?)(?=\d)", "\\1\N{NO-BREAK SPACE}", written))


def _plain_spaces(text: str) -> str:
    """Many fonts lack the narrow no-break space and show a box in its place."""
    return text.replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")
