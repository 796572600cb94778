"""The price of a cart, from the checkout service's own catalog and never from the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from events.money import distribute, maximum, minimum
from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout import discounts, shipping
from checkout.errors import AmountTooLargeError, AmountTooSmallError, InvalidCartError
from checkout.images import image_url
from checkout.models import Product


@dataclass(frozen=True)
class Item:
    """One line of a requested cart."""

    sku: str
    quantity: int


@dataclass(frozen=True)
class Quote:
    """A priced cart, in minor units. The discount is already deducted from each line's `amount_total`.

    `amount_shipping` and `amount_total` are for the first of the offered shipping options, the cheapest.
    """

    currency: str
    lines: Sequence[dict[str, Any]]
    shipping_options: Sequence[dict[str, Any]]
    amount_subtotal: int
    amount_discount: int

    @property
    def shipping(self) -> dict[str, Any] | None:
        """The cheapest of the offered shipping options; None if none is offered."""
        return self.shipping_options[0] if self.shipping_options else None

    @property
    def amount_shipping(self) -> int:
        """The price of the cheapest shipping option; 0 if none is offered."""
        return int(self.shipping["amount"]) if self.shipping else 0

    @property
    def amount_total(self) -> int:
        """The amount that the customer pays, without taxes that are added on top."""
        return self.amount_subtotal - self.amount_discount + self.amount_shipping


def quote(
    session: Session,
    items: Sequence[Item],
    currency: str,
    *,
    discount_code: str | None = None,
    shipping_option: str | None = None,
    shop_url: str,
    now: datetime,
) -> Quote:
    """Return the priced cart. A total of 0 is possible.

    Raises `InvalidCartError` for an item, discount or shipping option that is unknown, not valid, or not available in
    this currency. Raises `AmountTooSmallError` or `AmountTooLargeError` if Stripe cannot charge the total. The total
    with the most expensive offered shipping option must not be too large either.
    """
    lines = _lines(session, items, currency, shop_url)
    subtotal = sum(line["amount_total"] for line in lines)
    discount = discounts.amount_off(session, discount_code, subtotal, currency, now) if discount_code else 0
    for line, share in zip(
        lines, distribute(discount, [line["amount_total"] for line in lines], currency), strict=True
    ):
        line["amount_total"] -= share
    options = shipping.offer_options(session, shipping_option, subtotal - discount, currency)
    priced = Quote(currency, lines, options, subtotal, discount)
    if 0 < priced.amount_total < minimum(currency):
        raise AmountTooSmallError(priced.amount_total, currency, minimum(currency))
    dearest = max((option["amount"] for option in options), default=0)
    if subtotal - discount + dearest > maximum(currency):
        raise AmountTooLargeError(subtotal - discount + dearest, currency, maximum(currency))
    return priced


def _lines(session: Session, items: Sequence[Item], currency: str, shop_url: str) -> list[dict[str, Any]]:
    statement = select(Product).where(Product.sku.in_([item.sku for item in items]), Product.active)
    products = {product.sku: product for product in session.scalars(statement)}
    errors: dict[str, Any] = {}
    lines = []
    for position, item in enumerate(items):
        product = products.get(item.sku)
        if product is None:
            errors[str(position)] = {"sku": ["This product is not for sale. Remove it from the cart."]}
        elif currency not in product.prices:
            message = f"This product has no price in {currency.upper()}. Choose another currency, or remove it."
            errors[str(position)] = {"sku": [message]}
        else:
            lines.append(_line(product, item.quantity, product.prices[currency], shop_url))
    if errors:
        raise InvalidCartError(items=errors)
    return lines


def _line(product: Product, quantity: int, unit_amount: int, shop_url: str) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "image": image_url(shop_url, product.image),
        "tax_code": product.tax_code,
        "tax_behavior": product.tax_behavior,
        "tax_rates": product.tax_rates,
        "quantity": quantity,
        "unit_amount": unit_amount,
        "amount_total": unit_amount * quantity,
    }
