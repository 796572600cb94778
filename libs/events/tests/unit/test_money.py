from decimal import Decimal

import pytest
from events import money
from hypothesis import given
from hypothesis import strategies as st

CURRENCIES = sorted(money.SUPPORTED)
# https://docs.stripe.com/currencies, not from the code under test
ZERO = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THREE = {"bhd", "jod", "kwd", "omr", "tnd"}

amounts = st.integers(min_value=0, max_value=10**14)


@pytest.mark.parametrize("currency", CURRENCIES)
def test_exponent_is_stripes(currency: str) -> None:
    assert money.exponent(currency) == (0 if currency in ZERO else 3 if currency in THREE else 2)


def test_special_currencies_are_in_the_table() -> None:
    assert ZERO | THREE | {"isk", "ugx", "eur", "usd", "huf", "twd"} <= money.SUPPORTED
    assert all(currency == currency.lower() and len(currency) == 3 for currency in CURRENCIES)


@given(amounts)
def test_decimal_is_the_same_amount_in_every_currency(minor: int) -> None:
    for currency in CURRENCIES:
        value = money.to_decimal(minor, currency)
        assert value * 10 ** money.exponent(currency) == minor
        assert -value.as_tuple().exponent == money.exponent(currency)


@given(amounts)
def test_amounts_add_up_as_decimals_do(minor: int) -> None:
    for currency in CURRENCIES:
        assert money.to_decimal(minor, currency) + money.to_decimal(1, currency) == money.to_decimal(
            minor + 1, currency
        )


@given(amounts)
def test_amount_is_valid_in_the_steps_that_stripe_takes(minor: int) -> None:
    for currency in CURRENCIES:
        step = 100 if currency in {"isk", "ugx"} else 10 if currency in THREE else 1
        assert money.is_valid_amount(minor * step, currency)
        assert money.is_valid_amount(minor, currency) == (minor % step == 0)


@given(st.integers(max_value=-1), st.sampled_from(CURRENCIES))
def test_negative_amount_is_never_valid(minor: int, currency: str) -> None:
    assert not money.is_valid_amount(minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
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
def test_amount_as_people_write_it(minor: int, currency: str, written: str) -> None:
    assert str(money.to_decimal(minor, currency)) == written
    assert money.to_decimal(minor, currency) == Decimal(written)


@pytest.mark.parametrize(
    ("minor", "currency"), [(12345, "kwd"), (99550, "isk"), (99501, "ugx"), (-1, "eur"), (100, "xyz")]
)
def test_amount_that_stripe_refuses(minor: int, currency: str) -> None:
    assert not money.is_valid_amount(minor, currency)


@pytest.mark.parametrize("currency", ["EUR", "xyz", "", "euro", "btc"])
def test_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="not a currency that Stripe takes"):
        money.exponent(currency)
    with pytest.raises(ValueError, match="not a currency that Stripe takes"):
        money.to_decimal(1, currency)
