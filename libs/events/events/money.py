"""Stripe's minor units. They differ from ISO 4217's and from Babel's: one table, for every currency Stripe takes.

Source: https://docs.stripe.com/currencies (presentment currencies; zero-decimal; special cases; three-decimal).
"""

from decimal import Decimal

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Without a minor unit in life, but sent to Stripe as if they had two: the last two digits are 00.
TWO_DECIMAL_WHOLE = frozenset(["isk", "ugx"])

SUPPORTED = frozenset(
    [
        "usd",
        "aed",
        "afn",
        "all",
        "amd",
        "ang",
        "aoa",
        "ars",
        "aud",
        "awg",
        "azn",
        "bam",
        "bbd",
        "bdt",
        "bgn",
        "bhd",
        "bif",
        "bmd",
        "bnd",
        "bob",
        "brl",
        "bsd",
        "bwp",
        "byn",
        "bzd",
        "cad",
        "cdf",
        "chf",
        "clp",
        "cny",
        "cop",
        "crc",
        "cve",
        "czk",
        "djf",
        "dkk",
        "dop",
        "dzd",
        "egp",
        "etb",
        "eur",
        "fjd",
        "fkp",
        "gbp",
        "gel",
        "gip",
        "gmd",
        "gnf",
        "gtq",
        "gyd",
        "hkd",
        "hnl",
        "htg",
        "huf",
        "idr",
        "ils",
        "inr",
        "isk",
        "jmd",
        "jod",
        "jpy",
        "kes",
        "kgs",
        "khr",
        "kmf",
        "krw",
        "kwd",
        "kyd",
        "kzt",
        "lak",
        "lbp",
        "lkr",
        "lrd",
        "lsl",
        "mad",
        "mdl",
        "mga",
        "mkd",
        "mmk",
        "mnt",
        "mop",
        "mur",
        "mvr",
        "mwk",
        "mxn",
        "myr",
        "mzn",
        "nad",
        "ngn",
        "nio",
        "nok",
        "npr",
        "nzd",
        "omr",
        "pab",
        "pen",
        "pgk",
        "php",
        "pkr",
        "pln",
        "pyg",
        "qar",
        "ron",
        "rsd",
        "rub",
        "rwf",
        "sar",
        "sbd",
        "scr",
        "sek",
        "sgd",
        "shp",
        "sle",
        "sos",
        "srd",
        "std",
        "szl",
        "thb",
        "tjs",
        "tnd",
        "top",
        "try",
        "ttd",
        "twd",
        "tzs",
        "uah",
        "ugx",
        "uyu",
        "uzs",
        "vnd",
        "vuv",
        "wst",
        "xaf",
        "xcd",
        "xcg",
        "xof",
        "xpf",
        "yer",
        "zar",
        "zmw",
    ]
)


def exponent(currency: str) -> int:
    """How many decimals Stripe's integer amounts have in a currency (lower case). Raises `ValueError` if unknown."""
    if currency not in SUPPORTED:
        raise ValueError(f"{currency!r} is not a currency that Stripe takes")
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def to_decimal(minor: int, currency: str) -> Decimal:
    """An amount in minor units as people write it: 5738 eur is 57.38, 6480 jpy is 6480."""
    return Decimal(minor).scaleb(-exponent(currency))


def is_valid_amount(minor: int, currency: str) -> bool:
    """Whether Stripe takes the amount: whole ISK and UGX, three-decimal currencies in tens of their minor unit."""
    if minor < 0 or currency not in SUPPORTED:
        return False
    if currency in TWO_DECIMAL_WHOLE:
        return minor % 100 == 0
    return currency not in THREE_DECIMAL or minor % 10 == 0
