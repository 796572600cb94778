"""How the goods are sent, and what that costs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout.models import ShippingOption
from checkout.problems import Invalid


def offered(session: Session, currency: str) -> Sequence[ShippingOption]:
    """Active options with a price in the currency, by that price."""
    options = session.scalars(select(ShippingOption).where(ShippingOption.active)).all()
    priced = [option for option in options if currency in option.amounts]
    return sorted(priced, key=lambda option: (option.amounts[currency], option.id))


def chosen(session: Session, option_id: str | None, goods: int, currency: str) -> dict[str, Any] | None:
    """The option as it is agreed, for goods of that worth; None where the shop offers none.

    A cart that names none gets what is cheapest for it: leaving the field out must not ship for free. Raises
    `Invalid` for one that is not offered.
    """
    options = offered(session, currency)
    if option_id is None:
        agreed = [_agreed(option, goods, currency) for option in options]
        return min(agreed, key=lambda each: each["amount"], default=None)
    for option in options:
        if option.id == option_id:
            return _agreed(option, goods, currency)
    is_offered = session.scalar(select(ShippingOption.active).where(ShippingOption.id == option_id))
    raise Invalid({"shipping_option": [f"Has no price in {currency}." if is_offered else "Not offered."]})


def _agreed(option: ShippingOption, goods: int, currency: str) -> dict[str, Any]:
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
