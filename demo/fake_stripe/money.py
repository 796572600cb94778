"""Amounts in minor units: their format on the payment page, and the amounts that Stripe refuses.

Source: docs.stripe.com/currencies (zero-decimal, special cases, three-decimal, minimum and maximum charge amounts).
"""

ZERO_DECIMAL = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
TWO_DECIMAL_WHOLE = frozenset({"isk", "ugx"})  # no minor unit, but Stripe counts in hundredths: the last digits are 00
MINIMUM_CHARGE = {
    "eur": 50,
    "usd": 50,
    "chf": 50,
    "gbp": 30,
    "jpy": 50,
    "sek": 300,
    "dkk": 250,
    "nok": 300,
    "pln": 200,
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "czk": 1500,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "mxn": 1000,
    "myr": 200,
    "nzd": 50,
    "ron": 200,
    "sgd": 50,
    "thb": 1000,
}
MAXIMUM_CHARGE = {"idr": 999_999_999_999}  # twelve digits
DEFAULT_MAXIMUM_CHARGE = 99_999_999  # eight digits
SYMBOLS = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}


def step(currency: str) -> int:
    """Return the unit that every amount in this currency is a multiple of."""
    return 100 if currency in TWO_DECIMAL_WHOLE else 10 if currency in THREE_DECIMAL else 1


def format_amount(amount: int, currency: str) -> str:
    """Return an amount with its currency's symbol or code: €57.38, ¥2,990."""
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    whole, fraction = divmod(abs(amount), 10**decimals)
    shows_fraction = decimals and currency not in TWO_DECIMAL_WHOLE
    digits = f"{whole:,}" + (f".{fraction:0{decimals}d}" if shows_fraction else "")
    sign = "-" if amount < 0 else ""
    if symbol := SYMBOLS.get(currency):
        return f"{sign}{symbol}{digits}"
    return f"{sign}{currency.upper()}\N{NO-BREAK SPACE}{digits}"
