import pytest
from checkout.pricing import distribute, percentage
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("amount", "percent", "off"), [(1050, 5, 53), (1049, 5, 52), (1, 50, 1), (99, 100, 99), (0, 7, 0)]
)
def test_half_a_minor_unit_of_a_percentage_is_rounded_up(amount: int, percent: int, off: int) -> None:
    assert percentage(amount, percent) == off


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=20), st.data())
def test_shares_of_a_discount_add_up_and_exceed_no_line(weights: list[int], data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, sum(weights)))
    shares = distribute(amount, weights)
    assert sum(shares) == amount
    assert all(0 <= share <= weight for share, weight in zip(shares, weights, strict=True))
