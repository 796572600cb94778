from typing import Any

import pytest
from inventory.schemas import Catalog, NewMovement, NewReservation


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"on_hand": 3, "expected": 2, "reason": "counted"}, set()),
        ({"adjust": -3, "reason": "moths"}, set()),
        ({"on_hand": 3, "adjust": 1, "reason": "both"}, {"on_hand"}),
        ({"reason": "neither"}, {"on_hand"}),
        ({"on_hand": -1, "reason": "debt"}, {"on_hand"}),
        ({"on_hand": "3", "reason": "text"}, {"on_hand"}),
        ({"on_hand": 3}, {"reason"}),
        ({"on_hand": 3, "reason": ""}, {"reason"}),
    ],
)
def test_new_movement_requires_one_number_and_a_reason(change: dict[str, Any], wrong: set[str]) -> None:
    assert set(NewMovement().validate(change)) == wrong


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("checkout_id", "chk 1"),
        ("expires_at", "2026-11-02T12:00:00"),
        ("lines", []),
        ("lines", [{"sku": "", "quantity": 1}]),
        ("lines", [{"sku": "TEE\n", "quantity": 1}]),
        ("lines", [{"sku": "TEE", "quantity": 0}]),
        ("lines", [{"sku": "TEE", "quantity": 1.5}]),
    ],
)
def test_invalid_reservation_is_refused_by_field(field: str, value: Any) -> None:
    good = {"checkout_id": "chk_1", "expires_at": "2026-11-02T12:00:00Z", "lines": [{"sku": "TEE", "quantity": 1}]}
    assert NewReservation().validate(good) == {}
    assert set(NewReservation().validate({**good, field: value})) == {field}


def test_catalog_is_read_for_its_stock_only() -> None:
    document = {"products": [{"sku": "TEE", "stock": 3, "name": "Tee"}, {"sku": "SOCK"}], "shipping_options": []}
    assert Catalog().load(document) == {"products": [{"sku": "TEE", "stock": 3}, {"sku": "SOCK", "stock": 0}]}
