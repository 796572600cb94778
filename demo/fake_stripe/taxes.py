"""Taxes: fixed rates of a session's lines, or a simple automatic tax by the customer's country."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from .account import Account, Cause
from .errors import StripeError
from .money import step
from .objects.catalog import tax_rate as tax_rate_object
from .store import Object

# The standard rates of 2025 in percent, by country. Other countries have no tax: the shop is not registered there.
STANDARD_RATES = {"AT": "20", "BE": "21", "CH": "8.1", "DE": "19", "DK": "25", "ES": "21", "FR": "20", "GB": "20"}
STANDARD_RATES |= {"IE": "23", "IT": "22", "JP": "10", "NL": "21", "NO": "25", "PL": "23", "PT": "23", "SE": "25"}
NOT_TAXABLE = "txcd_00000000"  # Stripe's tax code


@dataclass(frozen=True)
class Rate:
    """A tax rate. An inclusive tax is part of the price, an exclusive one is added to it."""

    percentage: Decimal
    inclusive: bool


@dataclass(frozen=True)
class Tax:
    """A tax in minor units: `amount` is the whole tax, `added` the part that is added to the price."""

    amount: int = 0
    added: int = 0


def create_tax_rate(account: Account, params: Object, cause: Cause) -> Object:
    """Create a tax rate and emit `tax_rate.created`."""
    if not 0 <= params["percentage"] <= 100:
        raise StripeError("percentage must be from 0 to 100.", param="percentage")
    rate = account.store.add(tax_rate_object(account.now(), params))
    account.emit("tax_rate.created", rate, cause=cause)
    return rate


def check(account: Account, params: Object) -> None:
    """Raise `StripeError` if Stripe refuses the tax parameters of a new session."""
    automatic = params.get("automatic_tax", {}).get("enabled", False)
    for position, line in enumerate(params["line_items"]):
        name = f"line_items[{position}][tax_rates]"
        if automatic and line.get("tax_rates"):
            raise StripeError("You cannot use `tax_rates` together with `automatic_tax`.", param=name)
        for rate_id in line.get("tax_rates", []):
            if not account.store.get("tax_rate", rate_id, name)["active"]:
                raise StripeError(f"The tax rate {rate_id} is inactive.", param=name)


def line_rates(account: Account, session: Object, line: Object, params: Object) -> list[Rate]:
    """Return the tax rates of a line: automatic ones, or those of the parameters that created the line."""
    if session["automatic_tax"]["enabled"]:
        product = account.store.get("product", line["price"]["product"])
        return automatic_rates(account, session, line["price"]["tax_behavior"], product["tax_code"])
    rates = [account.store.get("tax_rate", rate_id) for rate_id in params.get("tax_rates", [])]
    return [Rate(Decimal(str(rate["percentage"])), rate["inclusive"]) for rate in rates]


def automatic_rates(account: Account, session: Object, behavior: str, tax_code: str | None) -> list[Rate]:
    """Return the automatic tax rate of the customer's country, in a list.

    The list is empty without automatic tax, until the customer chooses a country, and where no tax applies.
    """
    percentage = STANDARD_RATES.get(account.store.countries.get(session["id"], ""))
    if not session["automatic_tax"]["enabled"] or percentage is None or tax_code == NOT_TAXABLE:
        return []
    if behavior == "unspecified":  # the account's default, which depends on the currency
        behavior = "exclusive" if session["currency"] in ("usd", "cad") else "inclusive"
    return [Rate(Decimal(percentage), behavior == "inclusive")]


def tax(amount: int, rates: Sequence[Rate], currency: str) -> Tax:
    """Return the tax of a discounted amount. Exclusive rates apply to the amount without its inclusive taxes."""
    within = sum((rate.percentage for rate in rates if rate.inclusive), Decimal(0))
    net = amount * 100 / (100 + within)
    included = _rounded(amount - net, currency)
    added = sum(_rounded(net * rate.percentage / 100, currency) for rate in rates if not rate.inclusive)
    return Tax(included + added, added)


def _rounded(amount: Decimal, currency: str) -> int:
    return int((amount / step(currency)).quantize(Decimal(1), ROUND_HALF_UP)) * step(currency)
