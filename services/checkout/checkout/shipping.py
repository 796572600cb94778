"""Shipping options, and their price for a cart."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout.errors import InvalidCartError
from checkout.models import ShippingOption

MAX_OFFERED_OPTIONS = 5  # shipping options of one session, Stripe's limit


def list_options(session: Session, currency: str) -> Sequence[ShippingOption]:
    """Return the active options with a price in the currency, the cheapest first, without regard to free shipping."""
    options = session.scalars(select(ShippingOption).where(ShippingOption.active)).all()
    priced = [option for option in options if currency in option.amounts]
    return sorted(priced, key=lambda option: (option.amounts[currency], option.id))


def offer_options(session: Session, option_id: str | None, goods: int, currency: str) -> list[dict[str, Any]]:
    """Return the options that Stripe's page offers, with their prices for goods of this amount, the cheapest first.

    `goods` is the amount after discounts, in minor units. A cart that names an option gets only that one. Any other
    cart gets the five cheapest with a price in the currency: the address is not known yet, and the cheapest may not
    ship to it. The list is empty only if the shop has no active options.

    Raises `InvalidCartError` for an option that does not exist, is inactive or has no price in the currency. Raises it
    also for a currency in which none of the shop's options has a price: such a cart must not be shipped for free.
    """
    options = list_options(session, currency)
    if option_id is None:
        if not options and session.scalar(select(ShippingOption.id).where(ShippingOption.active).limit(1)):
            message = f"No shipping option has a price in {currency.upper()}. Choose another currency."
            raise InvalidCartError(currency=[message])
        priced = [_priced(option, goods, currency) for option in options]
        return sorted(priced, key=lambda each: (each["amount"], each["id"]))[:MAX_OFFERED_OPTIONS]
    for option in options:
        if option.id == option_id:
            return [_priced(option, goods, currency)]
    is_active = session.scalar(select(ShippingOption.active).where(ShippingOption.id == option_id))
    message = (
        f"This shipping option has no price in {currency.upper()}. Choose another option or currency."
        if is_active
        else "This shipping option is not available. GET /shipping-options lists those that are."
    )
    raise InvalidCartError(shipping_option=[message])


def _priced(option: ShippingOption, goods: int, currency: str) -> dict[str, Any]:
    is_free = currency in option.free_from and goods >= option.free_from[currency]
    return {
        "id": option.id,
        "name": option.name,
        "amount": 0 if is_free else option.amounts[currency],
        "countries": option.countries,
        "tax_behavior": option.tax_behavior,
        "min_days": option.min_days,
        "max_days": option.max_days,
    }
