"""What a piece of an order is worth when its money goes back.

What was really paid for the goods (discounts, promotion codes and taxes included, shipping not) is spread over all
pieces by their lines' totals. Pieces that are refunded one by one add up to the unit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from events.money import step as step_of

from orders.models import OrderLine, RefundIntention


def worth(
    lines: Sequence[OrderLine], goods_paid: int, currency: str, done: Mapping[str, int], pieces: Mapping[str, int]
) -> int:
    """The amount for so many more `pieces` of each sku, after those that are `done`; as Stripe takes it."""
    step = step_of(currency)
    total = sum(line.amount_total for line in lines)
    if not total:
        return 0
    amount, before = 0, 0
    for line in lines:
        first, last = done.get(line.sku, 0), done.get(line.sku, 0) + pieces.get(line.sku, 0)
        start, end = (before + Fraction(line.amount_total * at, line.quantity) for at in (first, last))
        amount += int(goods_paid // step * end / total) - int(goods_paid // step * start / total)
        before += line.amount_total
    return amount * step


def pieces_of(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many of each sku."""
    pieces: Counter[str] = Counter()
    for line in lines:
        pieces[line["sku"]] += line["quantity"]
    return pieces


def refunded_pieces(intentions: Iterable[RefundIntention]) -> Counter[str]:
    """What is refunded, or about to be."""
    return pieces_of(line for intention in intentions if intention.counts for line in intention.lines)


def returning_pieces(intentions: Iterable[RefundIntention]) -> Counter[str]:
    """What of that goes back to the shelf, or stayed there."""
    return pieces_of(
        line for intention in intentions if intention.counts for line in intention.lines if line["restock"]
    )
