"""Amounts in minor units, for every currency that Stripe supports."""

from decimal import Decimal
from typing import Any

import pytest
from events import money
from hypothesis import given
from hypothesis import strategies as st

CURRENCIES = sorted(money.SUPPORTED)
# Copied from https://docs.stripe.com/currencies, not from the code under test.
ZERO = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THREE = {"bhd", "jod", "kwd", "omr", "tnd"}

amounts = st.integers(min_value=0, max_value=10**14)


@pytest.mark.parametrize("currency", CURRENCIES)
def test_exponent_matches_stripes_documentation(currency: str) -> None:
    assert money.exponent(currency) == (0 if currency in ZERO else 3 if currency in THREE else 2)


def test_special_currencies_are_supported() -> None:
    assert ZERO | THREE | {"isk", "ugx", "eur", "usd", "huf", "twd"} <= money.SUPPORTED
    assert all(currency == currency.lower() and len(currency) == 3 for currency in CURRENCIES)


@given(amounts)
def test_decimal_equals_the_minor_units_in_every_currency(minor: int) -> None:
    for currency in CURRENCIES:
        value = money.to_decimal(minor, currency)
        assert value * 10 ** money.exponent(currency) == minor
        assert value.as_tuple().exponent == -money.exponent(currency)


@given(amounts)
def test_amounts_add_up_as_decimals_do(minor: int) -> None:
    for currency in CURRENCIES:
        assert money.to_decimal(minor, currency) + money.to_decimal(1, currency) == money.to_decimal(
            minor + 1, currency
        )


@given(amounts)
def test_multiple_of_the_currency_step_is_a_valid_amount(minor: int) -> None:
    for currency in CURRENCIES:
        step = 100 if currency in {"isk", "ugx"} else 10 if currency in THREE else 1
        assert money.is_valid_amount(minor * step, currency)
        assert money.is_valid_amount(minor, currency) == (minor % step == 0)


@given(st.integers(max_value=-1), st.sampled_from(CURRENCIES))
def test_negative_amount_is_never_valid(minor: int, currency: str) -> None:
    assert not money.is_valid_amount(minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "decimal"),
    [
        (5738, "eur", "57.38"),
        (5, "usd", "0.05"),
        (6480, "jpy", "6480"),
        (6480, "krw", "6480"),
        (12340, "kwd", "12.340"),
        (99500, "isk", "995.00"),
        (99500, "ugx", "995.00"),
        (0, "eur", "0.00"),
    ],
)
def test_decimal_is_the_amount_in_major_units(minor: int, currency: str, decimal: str) -> None:
    assert str(money.to_decimal(minor, currency)) == decimal
    assert money.to_decimal(minor, currency) == Decimal(decimal)


def test_formatted_amount_has_its_currency() -> None:
    assert money.format_amount(5738, "eur") == "57.38 EUR"
    assert money.format_amount(6480, "jpy") == "6480 JPY"
    assert money.format_amount(0, "kwd") == "0.000 KWD"


@pytest.mark.parametrize(
    ("minor", "currency"), [(12345, "kwd"), (99550, "isk"), (99501, "ugx"), (-1, "eur"), (100, "xyz")]
)
def test_amount_that_stripe_refuses_is_invalid(minor: int, currency: str) -> None:
    assert not money.is_valid_amount(minor, currency)


@pytest.mark.parametrize("currency", ["EUR", "xyz", "", "euro", "btc"])
def test_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="not a currency that Stripe supports"):
        money.exponent(currency)
    with pytest.raises(ValueError, match="not a currency that Stripe supports"):
        money.to_decimal(1, currency)


# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in major units
MINIMUM_CHARGES = {
    "aed": "2", "aud": "0.50", "bgn": "1", "brl": "0.50", "cad": "0.50", "chf": "0.50", "czk": "15", "dkk": "2.50",
    "eur": "0.50", "gbp": "0.30", "hkd": "4", "huf": "175", "inr": "0.50", "jpy": "50", "mxn": "10", "myr": "2",
    "nok": "3", "nzd": "0.50", "pln": "2", "ron": "2", "sek": "3", "sgd": "0.50", "thb": "10", "usd": "0.50",
}  # fmt: skip


@pytest.mark.parametrize("currency", CURRENCIES)
def test_minimum_is_stripes_and_a_valid_amount(currency: str) -> None:
    minimum = money.minimum(currency)
    assert money.is_valid_amount(minimum, currency)
    if currency in MINIMUM_CHARGES:
        assert money.to_decimal(minimum, currency) == Decimal(MINIMUM_CHARGES[currency])
    else:
        assert minimum == money.step(currency)


@given(st.integers(0, 10**9), st.integers(1, 100), st.sampled_from(CURRENCIES))
def test_percentage_is_the_nearest_valid_amount(steps: int, percent: int, currency: str) -> None:
    step = money.step(currency)
    part = money.percentage(steps * step, percent, currency)
    exact = Decimal(steps * step * percent) / 100
    assert money.is_valid_amount(part, currency)
    assert 0 <= part <= steps * step
    assert -Decimal(step) / 2 < part - exact <= Decimal(step) / 2
    assert money.percentage(steps * step, 100, currency) == steps * step


@pytest.mark.parametrize(
    ("amount", "percent", "currency", "part"),
    [(1050, 5, "eur", 53), (1049, 5, "eur", 52), (1, 50, "eur", 1), (99, 100, "eur", 99), (0, 7, "eur", 0),
     (3900, 15, "jpy", 585), (99500, 10, "isk", 10000), (99400, 10, "isk", 9900), (12340, 5, "kwd", 620)],
)  # fmt: skip
def test_half_a_step_of_a_percentage_is_rounded_up(amount: int, percent: int, currency: str, part: int) -> None:
    assert money.percentage(amount, percent, currency) == part


@given(st.sampled_from(CURRENCIES), st.lists(st.integers(0, 10**8), min_size=1, max_size=20), st.data())
def test_distributed_parts_add_up_and_exceed_no_weight(currency: str, steps: list[int], data: st.DataObject) -> None:
    step = money.step(currency)
    weights = [step * each for each in steps]
    amount = step * data.draw(st.integers(0, sum(steps)))
    parts = money.distribute(amount, weights, currency)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))
    assert all(money.is_valid_amount(part, currency) for part in parts)


@given(st.sampled_from(CURRENCIES), st.lists(st.integers(1, 10**6), min_size=1, max_size=20), st.integers(1, 100))
def test_distributed_percentage_leaves_the_exact_rest(currency: str, steps: list[int], percent: int) -> None:
    weights = [money.step(currency) * each for each in steps]
    off = money.percentage(sum(weights), percent, currency)
    shares = money.distribute(off, weights, currency)
    assert sum(weight - share for weight, share in zip(weights, shares, strict=True)) == sum(weights) - off


def test_zero_weights_get_zero_parts() -> None:
    assert money.distribute(0, [0, 0], "eur") == [0, 0]


@pytest.mark.parametrize("function", [money.step, money.minimum])
def test_unknown_currency_has_neither_step_nor_minimum(function: Any) -> None:
    with pytest.raises(ValueError, match="not a currency that Stripe supports"):
        function("xyz")
