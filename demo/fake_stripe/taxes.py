"""Taxes: fixed rates on a session's lines, or a simple automatic tax by the customer's country."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from .account import Account, Cause
from .errors import StripeError
from .money import step
from .shapes.catalogue import tax_rate as tax_rate_shape
from .state import Object

# Standard rates in per cent as they stood in 2025; enough to see a tax. Elsewhere the shop is not registered: none.
STANDARD = {"AT": "20", "BE": "21", "CH": "8.1", "DE": "19", "ES": "21", "FR": "20", "GB": "20", "IE": "23"}
STANDARD |= {"IT": "22", "JP": "10", "NL": "21", "NO": "25", "PL": "23", "PT": "23", "SE": "25", "DK": "25"}
NOT_TAXABLE = "txcd_00000000"


@dataclass(frozen=True)
class Rate:
    percentage: Decimal
    inclusive: bool


@dataclass(frozen=True)
class Tax:
    """`amount` is the whole tax, `added` the part of it that comes on top of the price."""

    amount: int = 0
    added: int = 0


def create_tax_rate(account: Account, params: Object, cause: Cause) -> Object:
    if not 0 <= params["percentage"] <= 100:
        raise StripeError("percentage must be from 0 to 100.", param="percentage")
    rate = account.store.add(tax_rate_shape(account.now(), params))
    account.emit("tax_rate.created", rate, cause=cause)
    return rate


def check(account: Account, params: Object) -> None:
    """Raises Stripe's errors for the tax parameters of a session that is to be created."""
    automatic = params.get("automatic_tax", {}).get("enabled", False)
    for position, line in enumerate(params["line_items"]):
        name = f"line_items[{position}][tax_rates]"
        if automatic and line.get("tax_rates"):
            raise StripeError("You cannot use `tax_rates` together with `automatic_tax`.", param=name)
        for rate_id in line.get("tax_rates", []):
            if not account.store.get("tax_rate", rate_id, name)["active"]:
                raise StripeError(f"The tax rate {rate_id} is inactive.", param=name)


def of_line(account: Account, session: Object, line: Object, given: Object) -> list[Rate]:
    """`given` is what the line was created with."""
    if session["automatic_tax"]["enabled"]:
        product = account.store.get("product", line["price"]["product"])
        return automatic(account, session, line["price"]["tax_behavior"], product["tax_code"])
    rates = [account.store.get("tax_rate", rate_id) for rate_id in given.get("tax_rates", [])]
    return [Rate(Decimal(str(rate["percentage"])), rate["inclusive"]) for rate in rates]


def automatic(account: Account, session: Object, behavior: str, tax_code: str | None) -> list[Rate]:
    """None until the customer has said where the goods go, and none where automatic tax is off."""
    percentage = STANDARD.get(account.store.locations.get(session["id"], ""))
    if not session["automatic_tax"]["enabled"] or percentage is None or tax_code == NOT_TAXABLE:
        return []
    if behavior == "unspecified":  # the account's default setting, which goes by the currency
        behavior = "exclusive" if session["currency"] in ("usd", "cad") else "inclusive"
    return [Rate(Decimal(percentage), behavior == "inclusive")]


def tax(amount: int, rates: Sequence[Rate], currency: str) -> Tax:
    """Of an amount after its discount. Inclusive rates are part of it, exclusive ones are counted from what is left."""
    within = sum((rate.percentage for rate in rates if rate.inclusive), Decimal(0))
    net = amount * 100 / (100 + within)
    included = _rounded(amount - net, currency)
    added = sum(_rounded(net * rate.percentage / 100, currency) for rate in rates if not rate.inclusive)
    return Tax(included + added, added)


def _rounded(amount: Decimal, currency: str) -> int:
    return int((amount / step(currency)).quantize(Decimal(1), ROUND_HALF_UP)) * step(currency)
