"""What a cart costs: priced from our own tables, never from the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from sqlalchemy import select
from sqlalchemy.orm import Session

from checkout.models import Discount, Product, ShippingOption
from checkout.problems import Invalid


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
) -> Quote:
    """Raises `Invalid` by field for whatever is not for sale, not in this currency or not valid."""
    lines = _lines(session, items, currency, shop_url)
    subtotal = sum(line["unit_amount"] * line["quantity"] for line in lines)
    discount = _discount(session, discount_code, subtotal, currency) if discount_code else 0
    for line, share in zip(lines, distribute(discount, [line["amount_total"] for line in lines]), strict=True):
        line["amount_total"] -= share
    option = shipping_option or _cheapest_shipping(session, currency)
    shipping = _shipping(session, option, subtotal - discount, currency) if option else None
    return Quote(currency, lines, shipping, subtotal, discount, shipping["amount"] if shipping else 0)


def percentage(amount: int, percent: int) -> int:
    """Half a minor unit is rounded up, as people do it."""
    return (2 * amount * percent + 100) // 200


def distribute(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an amount by weights so that the parts add up to it; what rounding leaves goes to the largest rests."""
    total = sum(weights)
    if not amount or not total:
        return [0 for _ in weights]
    shares = [amount * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda i: amount * weights[i] % total, reverse=True)
    for i in by_rest[: amount - sum(shares)]:
        shares[i] += 1
    return shares


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
        "quantity": quantity,
        "unit_amount": unit_amount,
        "amount_total": unit_amount * quantity,
    }


def _discount(session: Session, code: str, subtotal: int, currency: str) -> int:
    discount = session.get(Discount, code)
    if discount is None or not discount.active:
        raise Invalid({"discount_code": ["Not valid."]})
    if discount.percent_off is not None:
        return percentage(subtotal, discount.percent_off)
    if currency not in (discount.amounts_off or {}):
        raise Invalid({"discount_code": [f"Not valid in {currency}."]})
    return min(subtotal, (discount.amounts_off or {})[currency])


def _cheapest_shipping(session: Session, currency: str) -> str | None:
    """For a cart that names none: leaving the field out must not ship for free. None where the shop has no options."""
    offered = session.scalars(select(ShippingOption).where(ShippingOption.active)).all()
    priced = [(option.amounts[currency], option.id) for option in offered if currency in option.amounts]
    return min(priced)[1] if priced else None


def _shipping(session: Session, option_id: str, goods: int, currency: str) -> dict[str, Any]:
    option = session.get(ShippingOption, option_id)
    if option is None or not option.active:
        raise Invalid({"shipping_option": ["Not offered."]})
    if currency not in option.amounts:
        raise Invalid({"shipping_option": [f"Has no price in {currency}."]})
    is_free = currency in option.free_from and goods >= option.free_from[currency]
    return {
        "id": option.id,
        "name": option.name,
        "amount": 0 if is_free else option.amounts[currency],
        "min_days": option.min_days,
        "max_days": option.max_days,
    }
