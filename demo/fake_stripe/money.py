"""How the payment page writes amounts, and which amounts Stripe refuses.

Source: docs.stripe.com/currencies (zero-decimal, special cases, three-decimal, minimum charge amounts).
"""

ZERO_DECIMAL = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
WHOLE_IN_HUNDREDTHS = frozenset({"isk", "ugx"})  # no minor unit any more, yet sent times 100
SMALLEST_CHARGE = {
    "eur": 50,
    "usd": 50,
    "chf": 50,
    "gbp": 30,
    "jpy": 50,
    "sek": 300,
    "dkk": 250,
    "nok": 300,
    "pln": 200,
}
SYMBOLS = {"eur": "€", "usd": "$", "gbp": "£", "jpy": "¥"}


def step(currency: str) -> int:
    """Amounts are multiples of this."""
    return 100 if currency in WHOLE_IN_HUNDREDTHS else 10 if currency in THREE_DECIMAL else 1


def display(amount: int, currency: str) -> str:
    sent = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    shown = 0 if currency in WHOLE_IN_HUNDREDTHS else sent
    whole, fraction = divmod(abs(amount), 10**sent)
    digits = f"{whole:,}" + (f".{fraction:0{sent}d}" if shown else "")
    sign = "-" if amount < 0 else ""
    if symbol := SYMBOLS.get(currency):
        return f"{sign}{symbol}{digits}"
    return f"{sign}{currency.upper()}\N{NO-BREAK SPACE}{digits}"
