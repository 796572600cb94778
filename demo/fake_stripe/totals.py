"""What a session costs: lines, discount, shipping."""

from decimal import ROUND_HALF_UP, Decimal

from .errors import StripeError
from .money import SMALLEST_CHARGE, display, step
from .state import Object


def price_up(session: Object, lines: list[Object], coupon: Object | None, rate: Object | None) -> None:
    """Fill in every amount of the session and of its line items. Discounts do not touch the shipping."""
    subtotal = sum(line["amount_subtotal"] for line in lines)
    discount = _discount(coupon, subtotal, session["currency"])
    _share_discount(lines, discount, subtotal)
    shipping = rate["fixed_amount"]["amount"] if rate else 0
    session["amount_subtotal"] = subtotal
    session["amount_total"] = subtotal - discount + shipping
    session["total_details"] = {"amount_discount": discount, "amount_shipping": shipping, "amount_tax": 0}
    session["shipping_cost"] = _shipping_cost(rate) if rate else None
    refuse_too_small(session["amount_total"], session["currency"])


def _discount(coupon: Object | None, subtotal: int, currency: str) -> int:
    if coupon is None:
        return 0
    if coupon["percent_off"] is None:
        return min(amount_off(coupon, currency) or 0, subtotal)
    exact = Decimal(subtotal) * Decimal(str(coupon["percent_off"])) / 100
    return int((exact / step(currency)).quantize(Decimal(1), ROUND_HALF_UP)) * step(currency)


def amount_off(coupon: Object, currency: str) -> int | None:
    """In this currency; None where the coupon names no amount in it."""
    if coupon["currency"] == currency:
        return int(coupon["amount_off"])
    option = coupon["currency_options"].get(currency)
    return int(option["amount_off"]) if option else None


def _share_discount(lines: list[Object], discount: int, subtotal: int) -> None:
    """In proportion to the lines' amounts, so that the shares add up to the whole discount."""
    shared = reached = 0
    for line in lines:
        reached += line["amount_subtotal"]
        share = discount * reached // subtotal - shared if subtotal else 0
        shared += share
        line["amount_discount"] = share
        line["amount_total"] = line["amount_subtotal"] - share


def _shipping_cost(rate: Object) -> Object:
    amount = rate["fixed_amount"]["amount"]
    return {"amount_subtotal": amount, "amount_tax": 0, "amount_total": amount, "shipping_rate": rate["id"]}


def refuse_odd_amount(amount: int, currency: str, param: str) -> None:
    if amount % step(currency):
        message = f"Invalid amount: {amount} {currency} must be a multiple of {step(currency)}."
        raise StripeError(message, code="amount_invalid", param=param)


def refuse_too_small(total: int, currency: str) -> None:
    smallest = SMALLEST_CHARGE.get(currency, 1)
    if 0 < total < smallest:
        message = f"The total amount due must add up to at least {display(smallest, currency)}."
        raise StripeError(message, code="amount_too_small", param="line_items")
