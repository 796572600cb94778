"""Allocation of the amount paid for the goods to single pieces, for refunds of lines.

The amount includes discounts, promotion codes and taxes, and excludes shipping. It is spread over all pieces in
proportion to their lines' totals. The amounts of pieces that are refunded one by one add up to the whole amount.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from events.money import step as step_of

from orders.models.orders import Order, OrderLine
from orders.models.payments import Payment
from orders.models.refunds import RefundRequest


def goods_amount(order: Order, payment: Payment) -> int:
    """Return the part of a payment that is for the goods and their taxes, without shipping, in minor units."""
    return max(0, payment.amount - order.amount_shipping)


def amount_of_pieces(
    lines: Sequence[OrderLine], goods: int, currency: str, refunded: Mapping[str, int], pieces: Mapping[str, int]
) -> int:
    """Return the amount for `pieces` of each sku, in minor units and a multiple of the currency's step.

    `goods` is the amount paid for all goods. `refunded` are the pieces that were refunded before, by sku.
    """
    step = step_of(currency)
    total = sum(line.amount_total for line in lines)
    if not total:
        return 0
    amount, before = 0, 0
    for line in lines:
        first, last = refunded.get(line.sku, 0), refunded.get(line.sku, 0) + pieces.get(line.sku, 0)
        start, end = (before + Fraction(line.amount_total * at, line.quantity) for at in (first, last))
        amount += int(goods // step * end / total) - int(goods // step * start / total)
        before += line.amount_total
    return amount * step


def count_pieces(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Return the number of pieces in `{sku, quantity}` lines, by sku."""
    pieces: Counter[str] = Counter()
    for line in lines:
        pieces[line["sku"]] += line["quantity"]
    return pieces


def refunded_pieces(requests: Iterable[RefundRequest]) -> Counter[str]:
    """Return the pieces that are refunded or may be, by sku."""
    return count_pieces(line for request in requests if request.counts_as_refunded for line in request.lines)


def restocked_pieces(requests: Iterable[RefundRequest]) -> Counter[str]:
    """Return the refunded pieces that are on the shelf again or never left it, by sku."""
    return count_pieces(
        line for request in requests if request.counts_as_refunded for line in request.lines if line["restock"]
    )
