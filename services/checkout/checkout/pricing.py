"""What a cart costs: priced from our own tables, never from the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from events.money import MAXIMUM, distribute, minimum
from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout import discounts, shipping
from checkout.models import Product
from checkout.problems import AmountTooLarge, AmountTooSmall, Invalid


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True)
class Quote:
    """A priced cart. Each line's `amount_total` is after its share of the discount: they add up to the goods."""

    currency: str
    lines: Sequence[dict[str, Any]]
    shipping: dict[str, Any] | None
    amount_subtotal: int
    amount_discount: int
    amount_shipping: int

    @property
    def amount_total(self) -> int:
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
    """What Stripe will charge, taxes aside.

    Raises `Invalid` by field for whatever is not for sale, not in this currency or not valid, and `AmountTooSmall` or
    `AmountTooLarge` for what nobody can pay; free is fine.
    """
    lines = _lines(session, items, currency, shop_url)
    subtotal = sum(line["amount_total"] for line in lines)
    discount = discounts.amount_off(session, discount_code, subtotal, currency, now) if discount_code else 0
    for line, share in zip(
        lines, distribute(discount, [line["amount_total"] for line in lines], currency), strict=True
    ):
        line["amount_total"] -= share
    option = shipping.chosen(session, shipping_option, subtotal - discount, currency)
    quoted = Quote(currency, lines, option, subtotal, discount, option["amount"] if option else 0)
    if 0 < quoted.amount_total < minimum(currency):
        raise AmountTooSmall(quoted.amount_total, currency, minimum(currency))
    if quoted.amount_total > MAXIMUM:
        raise AmountTooLarge(quoted.amount_total, currency, MAXIMUM)
    return quoted


def _lines(session: Session, items: Sequence[Item], currency: str, shop_url: str) -> list[dict[str, Any]]:
    wanted = select(Product).where(Product.sku.in_([item.sku for item in items]), Product.active)
    products = {product.sku: product for product in session.scalars(wanted)}
    errors: dict[str, Any] = {}
    lines = []
    for position, item in enumerate(items):
        product = products.get(item.sku)
        if product is None:
            errors[str(position)] = {"sku": ["Not for sale."]}
        elif currency not in product.prices:
            errors[str(position)] = {"sku": [f"Has no price in {currency}."]}
        else:
            lines.append(_line(product, item.quantity, product.prices[currency], shop_url))
    if errors:
        raise Invalid({"items": errors})
    return lines


def _line(product: Product, quantity: int, unit_amount: int, shop_url: str) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "image": urljoin(f"{shop_url}/", product.image) if product.image else None,
        "tax_code": product.tax_code,
        "tax_behavior": product.tax_behavior,
        "tax_rates": product.tax_rates,
        "quantity": quantity,
        "unit_amount": unit_amount,
        "amount_total": unit_amount * quantity,
    }
