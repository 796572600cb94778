"""The sums of a dispute, from the movements that Stripe lists."""

import itertools

import pytest
from orders.disputes import _withdrawn_and_withheld

WITHDRAWN = {"created": 1_700_000_000, "amount": -7390, "currency": "eur"}
PART_BACK = {"created": 1_700_000_000, "amount": 1000, "currency": "eur"}
APPEAL_WON = {"created": 1_700_000_001, "amount": 6390, "currency": "eur"}


@pytest.mark.parametrize("movements", [*itertools.permutations([WITHDRAWN, PART_BACK])])
def test_movements_of_one_second_add_up_in_any_order(movements: tuple[dict[str, object], ...]) -> None:
    assert _withdrawn_and_withheld(7390, movements) == (7390, 6390)


@pytest.mark.parametrize("movements", [*itertools.permutations([WITHDRAWN, PART_BACK, APPEAL_WON])])
def test_won_appeal_leaves_nothing_held(movements: tuple[dict[str, object], ...]) -> None:
    assert _withdrawn_and_withheld(7390, movements) == (7390, 0)
