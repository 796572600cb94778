from datetime import datetime, timedelta, timezone

import pytest
from events import money
from notifications.localization import choose_language, format_money, preferred_locale
from notifications.template_loader import built_in_translations

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "written"),
    [
        (5738, "eur", "en", "€57.38"),
        (123450, "eur", "de", f"1.234,50{SPACE}€"),
        (6480, "jpy", "en", "¥6,480"),
        (6480, "jpy", "de", f"6.480{SPACE}¥"),
        (150000, "isk", "en", f"ISK{SPACE}1,500"),
        (150050, "isk", "en", f"ISK{SPACE}1,500.50"),
        (50000, "ugx", "de", f"500{SPACE}UGX"),
        (12340, "kwd", "en", f"KWD{SPACE}12.340"),
        (12340, "kwd", "de", f"12,340{SPACE}KWD"),
        (150000, "huf", "en", f"HUF{SPACE}1,500.00"),
        (150000, "all", "en", f"ALL{SPACE}1,500.00"),
        (100, "clp", "en", f"CLP{SPACE}100"),
        (-1285, "usd", "en", "-$12.85"),
        (-1285, "isk", "en", f"-ISK{SPACE}12.85"),
        (500, "xcg", "en", f"Cg.{SPACE}5.00"),
        (123456, "eur", "fr", f"1{SPACE}234,56{SPACE}€"),
        (6480, "jpy", "fr", f"6{SPACE}480{SPACE}JPY"),
        (12340, "kwd", "fr", f"12,340{SPACE}KWD"),
        (6480, "jpy", "ja", "￥6,480"),
        (12340, "kwd", "ja", f"KWD{SPACE}12.340"),
    ],
)
def test_money_has_stripes_exponents_in_the_locales_format(
    minor: int, currency: str, locale: str, written: str
) -> None:
    assert format_money(minor, currency, locale) == written


@pytest.mark.parametrize("currency", sorted(money.SUPPORTED - money.TWO_DECIMAL_WHOLE))
def test_money_has_as_many_decimals_as_stripe_counts(currency: str) -> None:
    digits = format_money(1_567_000 * 10 ** money.exponent(currency), currency, "en").partition("567,000")[2]
    assert len(digits.strip(".")) == money.exponent(currency)


def test_amount_in_an_unknown_currency_stays_in_minor_units() -> None:
    assert format_money(5738, "xxx", "de") == "5738 XXX (minor units)"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("de", "de"),
        ("de-CH", "de-CH"),
        ("de_AT", "de-AT"),
        ("en-GB", "en-GB"),
        ("fr-CA", "fr-CA"),
        ("ja", "ja"),
        ("it", "en"),
        ("auto", "en"),
        (None, "en"),
        ("", "en"),
        ("../../etc", "en"),
        ("x" * 500, "en"),
    ],
)
def test_language_falls_back_to_english_throughout(asked: str | None, given: str) -> None:
    assert choose_language(asked).tag == given


def test_moments_are_in_utc_and_name_it() -> None:
    at = datetime(2026, 5, 4, 1, 30, tzinfo=timezone(timedelta(hours=9)))
    assert choose_language("de").moment(at) == "3. Mai 2026, 16:30 UTC"
    assert choose_language("fr").moment(at) == "3 mai 2026 à 16:30 UTC"
    assert choose_language("ja").moment(at) == "2026年5月3日 16:30（UTC）"  # noqa: RUF001
    assert choose_language("en").moment(at) == f"May 3, 2026, 4:30{SPACE}PM UTC"


@pytest.mark.parametrize(
    ("tag", "country", "expected"),
    [
        ("ja", "FR", "ja"),
        ("de-CH", None, "de-CH"),
        (None, "FR", "fr-FR"),
        ("auto", "JP", "ja-JP"),
        ("pt-BR", "AT", "de-AT"),
        (None, "BE", "de"),
        ("pt-BR", "BR", "de"),
        ("nonsense!", "XX", "de"),
        (None, None, "de"),
    ],
)
def test_language_comes_from_locale_country_or_the_shop(tag: str | None, country: str | None, expected: str) -> None:
    assert preferred_locale(tag, country, "de", built_in_translations()) == expected
