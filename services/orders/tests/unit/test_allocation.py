"""Allocation: pieces that are refunded one by one add up to the amount paid for the goods."""

from collections import Counter

import pytest
from events.money import is_valid_amount
from hypothesis import given
from hypothesis import strategies as st
from orders.models.orders import OrderLine
from orders.refunds.allocation import amount_of_pieces

LINES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**6)), min_size=1, max_size=5)


@given(lines=LINES, paid=st.integers(0, 10**6), currency=st.sampled_from(["eur", "jpy", "isk", "kwd"]), data=st.data())
def test_pieces_in_any_order_add_up(
    lines: list[tuple[int, int]], paid: int, currency: str, data: st.DataObject
) -> None:
    order_lines = [
        OrderLine(sku=f"S{number}", quantity=quantity, amount_total=total)
        for number, (quantity, total) in enumerate(lines)
    ]
    paid -= paid % 100  # a multiple of every step, as Stripe requires it
    pieces = data.draw(st.permutations([line.sku for line in order_lines for _ in range(line.quantity)]))
    refunded: Counter[str] = Counter()
    amounts = []
    for sku in pieces:
        amounts.append(amount_of_pieces(order_lines, paid, currency, refunded, {sku: 1}))
        refunded[sku] += 1
    assert sum(amounts) == (paid if any(line.amount_total for line in order_lines) else 0)
    assert all(is_valid_amount(amount, currency) for amount in amounts)


@pytest.mark.parametrize(("paid", "amount"), [(5248, 3998), (4723, 3598), (5248 + 1000, 4759)])
def test_discounts_and_taxes_are_shared(paid: int, amount: int) -> None:
    lines = [OrderLine(sku="TEE", quantity=2, amount_total=3998), OrderLine(sku="SOCK", quantity=1, amount_total=1250)]
    assert amount_of_pieces(lines, paid, "eur", {}, {"TEE": 2}) == amount
