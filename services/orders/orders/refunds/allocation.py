"""Allocation of the amount paid for the goods to single pieces, for refunds of lines.

The amount includes discounts, promotion codes and taxes, and excludes shipping. It is spread over all pieces in
proportion to their lines' totals. The amounts of pieces that are refunded one by one add up to the whole amount.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from events.money import step as step_of

from orders.models.orders import Order, OrderLine
from orders.models.payments import Payment
from orders.stripe_objects import StripeObject


def goods_amount(order: Order, payment: Payment) -> int:
    """Return the part of a payment that is for the goods and their taxes, without shipping, in minor units.

    The shipping is `shipping_total`, which includes its taxes. If that is unknown, it is the payment's
    `amount_shipping`, or else the order's.
    """
    known = (payment.shipping_total, payment.amount_shipping, order.amount_shipping)
    shipping = next(amount for amount in known if amount is not None)
    return max(0, payment.amount - shipping)


def needs_charged_lines(order: Order, payment: Payment) -> bool:
    """Return True if Stripe's line amounts must be fetched before a refund of lines.

    Tax rates can differ by product, and a promotion code can be for some products only. So the charged amounts may be
    in another proportion than the agreed totals. A single line, or stored line amounts, need no fetch.
    """
    if len(order.lines) == 1 or all(line.charged_total is not None for line in order.lines):
        return False
    has_promotion = payment.amount_discount is not None and payment.amount_discount != order.amount_discount
    return payment.amount_tax > 0 or has_promotion


def record_charged_lines(order: Order, payment: Payment, items: Sequence[StripeObject]) -> bool:
    """Store what Stripe charged for each line, from the session's line items.

    A line item has the sku in its product's metadata. An item without a sku is matched by its position. Return False
    and store nothing if items and lines do not match, or if the items do not add up to the `goods_amount`.
    """
    left = list(items)
    found: list[tuple[OrderLine, int]] = []
    for line in order.lines:
        item = next((item for item in left if _sku(item) in (None, line.sku)), None)
        if item is None:
            return False
        left.remove(item)
        found.append((line, item["amount_total"]))
    if left or sum(amount for _, amount in found) != goods_amount(order, payment):
        return False
    for line, amount in found:
        line.charged_total = amount
    return True


def _sku(item: StripeObject) -> str | None:
    product = (item.get("price") or {}).get("product")
    sku = (product.get("metadata") or {}).get("sku") if isinstance(product, dict) else None
    return str(sku) if sku else None


def line_total(line: OrderLine, *, charged: bool) -> int:
    """Return a line's weight, in minor units: if `charged`, the amount that Stripe charged, else the agreed amount."""
    return line.charged_total or 0 if charged else line.amount_total


def amount_of_pieces(
    lines: Sequence[OrderLine], goods: int, currency: str, refunded: Mapping[str, int], pieces: Mapping[str, int]
) -> int:
    """Return the amount for `pieces` of each sku, in minor units and a multiple of the currency's step.

    `goods` is the amount paid for all goods. `refunded` are the pieces that were refunded before, by sku. Raises
    `ValueError` for a currency that Stripe does not support.
    """
    step = step_of(currency)
    charged = all(line.charged_total is not None for line in lines)
    total = sum(line_total(line, charged=charged) for line in lines)
    if not total:
        return 0
    amount, before = 0, 0
    for line in lines:
        own = line_total(line, charged=charged)
        first, last = refunded.get(line.sku, 0), refunded.get(line.sku, 0) + pieces.get(line.sku, 0)
        start, end = (before + Fraction(own * at, line.quantity) for at in (first, last))
        amount += int(goods // step * end / total) - int(goods // step * start / total)
        before += own
    return amount * step
