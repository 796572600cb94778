"""The amounts of a session: lines, discount, shipping, taxes and total."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from .errors import StripeError
from .money import DEFAULT_MAXIMUM_CHARGE, MAXIMUM_CHARGE, MINIMUM_CHARGE, format_amount, step
from .store import Object
from .taxes import Rate, Tax, tax


def set_amounts(
    session: Object,
    lines: list[Object],
    shares: Sequence[int],
    shipping: Object | None,
    line_taxes: Sequence[list[Rate]],
    shipping_taxes: list[Rate],
) -> None:
    """Set every amount of a session and its lines. `shares` are the lines' parts of the discount.

    Raise `StripeError` before any change if the total is below the minimum charge or above the maximum.
    """
    currency = session["currency"]
    subtotal = sum(line["amount_subtotal"] for line in lines)
    discount = sum(shares)
    after_discount = [line["amount_subtotal"] - share for line, share in zip(lines, shares, strict=True)]
    taxes = [tax(amount, rates, currency) for amount, rates in zip(after_discount, line_taxes, strict=True)]
    parcel = shipping["fixed_amount"]["amount"] if shipping else 0
    parcel_tax = tax(parcel, shipping_taxes, currency)
    total = subtotal - discount + parcel + sum(each.added for each in (*taxes, parcel_tax))
    check_minimum(total, currency)
    check_maximum(total, currency, "line_items")
    for line, share, amount, line_tax in zip(lines, shares, after_discount, taxes, strict=True):
        line |= {"amount_discount": share, "amount_tax": line_tax.amount, "amount_total": amount + line_tax.added}
    session["amount_subtotal"], session["amount_total"] = subtotal, total
    session["total_details"] = {
        "amount_discount": discount,
        "amount_shipping": parcel,
        "amount_tax": sum(each.amount for each in (*taxes, parcel_tax)),
    }
    session["shipping_cost"] = _shipping_cost(shipping, parcel_tax) if shipping else None


def discount_shares(coupon: Object, amounts: Sequence[int], currency: str) -> list[int]:
    """Split a coupon's discount in proportion to these amounts of the lines. Discounts exclude the shipping.

    The shares add up to the discount.
    """
    subtotal = sum(amounts)
    discount = _discount(coupon, subtotal, currency)
    shares: list[int] = []
    running_total = 0
    for amount in amounts:
        running_total += amount
        shares.append(discount * running_total // subtotal - sum(shares) if subtotal else 0)
    return shares


def _discount(coupon: Object, subtotal: int, currency: str) -> int:
    if coupon["percent_off"] is None:
        return min(amount_off(coupon, currency) or 0, subtotal)
    exact = Decimal(subtotal) * Decimal(str(coupon["percent_off"])) / 100
    return int((exact / step(currency)).quantize(Decimal(1), ROUND_HALF_UP)) * step(currency)


def amount_off(coupon: Object, currency: str) -> int | None:
    """Return the coupon's amount in a currency, or None if it has no amount in that currency."""
    if coupon["currency"] == currency:
        return int(coupon["amount_off"])
    option = coupon["currency_options"].get(currency)
    return int(option["amount_off"]) if option else None


def _shipping_cost(rate: Object, parcel_tax: Tax) -> Object:
    amount = rate["fixed_amount"]["amount"]
    return {
        "amount_subtotal": amount,
        "amount_tax": parcel_tax.amount,
        "amount_total": amount + parcel_tax.added,
        "shipping_rate": rate["id"],
    }


def check_step(amount: int, currency: str, param: str) -> None:
    """Raise `StripeError` if the amount is not a multiple of the currency's step, or above its maximum."""
    check_maximum(amount, currency, param)
    if amount % step(currency):
        message = f"Invalid amount: {amount} {currency} must be a multiple of {step(currency)}."
        raise StripeError(message, code="amount_invalid", param=param)


def check_maximum(amount: int, currency: str, param: str) -> None:
    """Raise `StripeError` if the amount is above the maximum charge."""
    maximum = MAXIMUM_CHARGE.get(currency, DEFAULT_MAXIMUM_CHARGE)
    if amount > maximum:
        message = f"Amount must be no more than {format_amount(maximum, currency)}."
        raise StripeError(message, code="amount_too_large", param=param)


def check_minimum(total: int, currency: str) -> None:
    """Raise `StripeError` if the total is below the minimum charge. Zero is possible."""
    minimum = MINIMUM_CHARGE.get(currency, 1)
    if 0 < total < minimum:
        message = f"The total amount due must add up to at least {format_amount(minimum, currency)}."
        raise StripeError(message, code="amount_too_small", param="line_items")
