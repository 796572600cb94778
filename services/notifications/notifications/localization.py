"""Languages, money and dates as a reader writes them.

A language is one file, ``translations/<language>.toml``; where there is none, the reader gets English throughout.
"""

import copy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_time
from events import money

FALLBACK = "en"


@dataclass(frozen=True)
class Language:
    """Texts of one language; numbers and dates of one region that speaks it."""

    locale: Locale
    texts: Mapping[str, Mapping[str, str]]

    @property
    def tag(self) -> str:
        """As HTML's `lang` and Content-Language want it: ``de-CH``."""
        return str(self.locale).replace("_", "-")

    def text(self, section: str, key: str, **values: str) -> str:
        """The text of a kind of mail, or else the one that all kinds share."""
        found = self.texts[section].get(key) or self.texts["common"][key]
        return found.format(**values)

    def money(self, minor: int, currency: str) -> str:
        return format_money(minor, currency, self.locale)

    def moment(self, at: datetime) -> str:
        """A date and a time of day, in UTC and saying so."""
        day = format_date(at.astimezone(UTC), "long", locale=self.locale)
        time = format_time(at.astimezone(UTC), "short", locale=self.locale)
        return f"{day}, {time} UTC".replace("\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}")  # fonts lack the first


def language(tag: str | None) -> Language:
    """The language nearest to a tag such as ``de-CH`` or Stripe's ``auto``."""
    try:
        locale = Locale.parse((tag or FALLBACK).replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        locale = Locale(FALLBACK)
    texts = translations()
    if locale.language not in texts:
        locale = Locale(FALLBACK)
    return Language(locale, texts[locale.language])


@cache
def translations() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """Language → section → key → text, from the package's files."""
    folder = resources.files(__package__) / "translations"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8")) for file in files}


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
    return re.sub(r"(?<=[A-Za-z])(\.?)(?=\d)", "\\1\N{NO-BREAK SPACE}", written)
