from datetime import datetime, timedelta
from typing import Any

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from inventory import reservations
from inventory.models import CHAINS
from inventory.reservations import Conflict, OutOfStock, expire_due

HOUR = timedelta(hours=1)


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def release(database: Database, checkout_id: str) -> bool:
    with database.begin() as session:
        reservation = reservations.find(session, checkout_id)
        assert reservation is not None
        return reservations.release(session, reservation)


def extend(database: Database, checkout_id: str, until: datetime) -> bool:
    with database.begin() as session:
        reservation = reservations.find(session, checkout_id)
        assert reservation is not None
        return reservations.extend(session, reservation, until)


def test_reserves_all_lines(shelf: Any) -> None:
    shelf.fill(TEE=5, SOCK=2)
    assert shelf.reserve("chk_1", TEE=3, SOCK=2)
    assert shelf.pieces() == {"TEE": (5, 3), "SOCK": (2, 2)}


def test_repeat_reserves_nothing_more(shelf: Any) -> None:
    shelf.fill(TEE=5)
    assert shelf.reserve("chk_1", TEE=3)
    assert not shelf.reserve("chk_1", TEE=3)
    assert shelf.pieces() == {"TEE": (5, 3)}


def test_short_lines_are_all_named_and_nothing_is_held(shelf: Any) -> None:
    shelf.fill(TEE=5, SOCK=2, HAT=1)
    shelf.reserve("chk_1", HAT=1)
    with pytest.raises(OutOfStock) as short:
        shelf.reserve("chk_2", TEE=1, SOCK=3, HAT=1, GHOST=1)
    assert short.value.lines == [
        {"sku": "GHOST", "requested": 1, "available": 0},
        {"sku": "HAT", "requested": 1, "available": 0},
        {"sku": "SOCK", "requested": 3, "available": 2},
    ]
    assert shelf.pieces() == {"TEE": (5, 0), "SOCK": (2, 0), "HAT": (1, 1)}
    assert shelf.status("chk_2") == "unknown"


def test_same_sku_on_two_lines_counts_together(shelf: Any, now: datetime) -> None:
    shelf.fill(TEE=3)
    with pytest.raises(OutOfStock), shelf.database.begin() as session:
        reservations.reserve(session, "chk_1", now + HOUR, [("TEE", 2), ("TEE", 2)], now)


def test_other_lines_for_the_same_checkout_conflict(shelf: Any) -> None:
    shelf.fill(TEE=5)
    shelf.reserve("chk_1", TEE=1)
    with pytest.raises(Conflict):
        shelf.reserve("chk_1", TEE=2)


def test_released_checkout_is_not_reserved_again(shelf: Any) -> None:
    shelf.fill(TEE=5)
    shelf.reserve("chk_1", TEE=1)
    assert release(shelf.database, "chk_1")
    assert not release(shelf.database, "chk_1")
    with pytest.raises(Conflict):
        shelf.reserve("chk_1", TEE=1)
    assert shelf.pieces() == {"TEE": (5, 0)}


def test_expiry_gives_back_what_is_due_in_batches(shelf: Any, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "BATCH", 2)
    shelf.fill(TEE=10, SOCK=10)
    for number in range(5):
        shelf.reserve(f"chk_{number}", now, TEE=1, SOCK=1)
    shelf.reserve("chk_later", now + HOUR, TEE=1)
    assert expire_due(shelf.database, now) == 5
    assert expire_due(shelf.database, now) == 0
    assert shelf.status("chk_0") == "expired"
    assert shelf.pieces() == {"TEE": (10, 1), "SOCK": (10, 0)}


def test_extended_reservation_does_not_expire(shelf: Any, now: datetime) -> None:
    shelf.fill(TEE=1)
    shelf.reserve("chk_1", now, TEE=1)
    assert extend(shelf.database, "chk_1", now + HOUR)
    assert expire_due(shelf.database, now) == 0


def test_extending_after_expiry_takes_the_pieces_again(shelf: Any, now: datetime) -> None:
    shelf.fill(TEE=1)
    shelf.reserve("chk_1", now, TEE=1)
    expire_due(shelf.database, now)
    assert extend(shelf.database, "chk_1", now + HOUR)
    assert (shelf.status("chk_1"), shelf.pieces()) == ("held", {"TEE": (1, 1)})


def test_extending_after_expiry_takes_all_lines_or_none(shelf: Any, now: datetime) -> None:
    shelf.fill(TEE=1, SOCK=1)
    shelf.reserve("chk_1", now, TEE=1, SOCK=1)
    expire_due(shelf.database, now)
    shelf.reserve("chk_2", TEE=1)
    assert not extend(shelf.database, "chk_1", now + HOUR)
    assert (shelf.status("chk_1"), shelf.pieces()) == ("expired", {"TEE": (1, 1), "SOCK": (1, 0)})
