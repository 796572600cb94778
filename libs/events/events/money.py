"""Amounts in Stripe's minor units, for every currency that Stripe supports.

Some units differ from ISO 4217's and from Babel's. Source: https://docs.stripe.com/currencies (presentment currencies;
zero-decimal; special cases; three-decimal; minimum and maximum charge amounts). Amounts are integers in these units.
Currencies are lower case. Functions that need the number of decimals raise `ValueError` for an unsupported currency.
"""

from collections.abc import Sequence
from decimal import Decimal

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# These have no minor unit, but Stripe counts them as if they had two decimals: the last two digits are 00.
TWO_DECIMAL_WHOLE = frozenset(["isk", "ugx"])

# Minimum charges in currencies in which accounts can be paid out. In other currencies the minimum applies to the amount
# converted to the account's payout currency, which only Stripe knows.
# fmt: off
MINIMUM_CHARGES = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}
# fmt: on
MAXIMUM_CHARGES = {"idr": 999_999_999_999}  # minor units: Stripe allows twelve digits here
DEFAULT_MAXIMUM_CHARGE = 99_999_999  # minor units: Stripe allows eight digits in all other currencies

# fmt: off
SUPPORTED = frozenset([
    "usd", "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bhd",
    "bif", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "clp", "cny", "cop", "crc",
    "cve", "czk", "djf", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gnf",
    "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk", "jmd", "jod", "jpy", "kes", "kgs", "khr",
    "kmf", "krw", "kwd", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mga", "mkd", "mmk", "mnt",
    "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr", "nzd", "omr", "pab", "pen",
    "pgk", "php", "pkr", "pln", "pyg", "qar", "ron", "rsd", "rub", "rwf", "sar", "sbd", "scr", "sek", "sgd", "shp",
    "sle", "sos", "srd", "std", "szl", "thb", "tjs", "tnd", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "uyu",
    "uzs", "vnd", "vuv", "wst", "xaf", "xcd", "xcg", "xof", "xpf", "yer", "zar", "zmw",
])
# fmt: on


def exponent(currency: str) -> int:
    """Return the number of decimals in Stripe's integer amounts of a currency."""
    if currency not in SUPPORTED:
        raise ValueError(f"{currency!r} is not a currency that Stripe supports")
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def step(currency: str) -> int:
    """Return the unit that every amount is a multiple of: 100 for ISK and UGX, 10 with three decimals, else 1."""
    if currency in TWO_DECIMAL_WHOLE:
        return 100
    return 10 if exponent(currency) == 3 else 1


def minimum(currency: str) -> int:
    """Return the minimum charge in minor units, or the currency's step where only Stripe knows the minimum."""
    return MINIMUM_CHARGES.get(currency, step(currency))


def maximum(currency: str) -> int:
    """Return the maximum charge in minor units, also for a currency that Stripe does not support."""
    return MAXIMUM_CHARGES.get(currency, DEFAULT_MAXIMUM_CHARGE)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Return an amount in major units: 5738 eur is 57.38, 6480 jpy is 6480."""
    return Decimal(minor).scaleb(-exponent(currency))


def format_amount(minor: int, currency: str) -> str:
    """Return an amount as text for people: 57.38 EUR. An unsupported currency stays in minor units, and says so."""
    if currency not in SUPPORTED:
        return f"{minor} {currency.upper()} (minor units)"
    return f"{to_decimal(minor, currency):f} {currency.upper()}"


def is_valid_amount(minor: int, currency: str) -> bool:
    """Return True if Stripe accepts the price: supported currency, not negative, a multiple of the currency's step."""
    return minor >= 0 and currency in SUPPORTED and minor % step(currency) == 0


def percentage(amount: int, percent: int, currency: str) -> int:
    """Return `percent` percent of an amount, rounded to the currency's step; half a step is rounded up."""
    unit = step(currency)
    return (2 * amount * percent + 100 * unit) // (200 * unit) * unit


def distribute(amount: int, weights: Sequence[int], currency: str) -> list[int]:
    """Split an amount by weights into multiples of the currency's step that add up to the amount.

    The amount itself must be such a multiple. Each part is rounded down. The remaining steps go, one each, to the parts
    with the largest remainders; of equal remainders, the earlier part comes first. No part exceeds its weight if the
    weights are multiples of the step, too, and add up to at least the amount. All parts are 0 if all weights are 0.
    """
    total, unit = sum(weights), step(currency)
    if not total:
        return [0 for _ in weights]
    steps = amount // unit
    parts = [steps * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: steps * weights[i] % total, reverse=True)
    for i in by_remainder[: steps - sum(parts)]:
        parts[i] += 1
    return [part * unit for part in parts]
