from datetime import datetime, timedelta
from typing import Any

import pytest
from events.database.engine import Database
from events.testing.fixtures import MakeDatabase
from inventory import reservations
from inventory.chains import CHAINS
from inventory.errors import OutOfStockError, ReservationConflictError
from inventory.models import StockItem
from inventory.reservations import expire_due

HOUR = timedelta(hours=1)


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def test_reservation_reserves_all_lines(stock: Any) -> None:
    stock.fill(TEE=5, SOCK=2)
    assert stock.reserve("chk_1", TEE=3, SOCK=2)
    assert stock.pieces() == {"TEE": (5, 3), "SOCK": (2, 2)}


def test_repeated_reservation_reserves_nothing_more(stock: Any) -> None:
    stock.fill(TEE=5)
    assert stock.reserve("chk_1", TEE=3)
    assert not stock.reserve("chk_1", TEE=3)
    assert stock.pieces() == {"TEE": (5, 3)}


def test_short_lines_are_all_listed_and_nothing_is_reserved(stock: Any) -> None:
    stock.fill(TEE=5, SOCK=2, HAT=1)
    stock.reserve("chk_1", HAT=1)
    with pytest.raises(OutOfStockError) as error:
        stock.reserve("chk_2", TEE=1, SOCK=3, HAT=1, GHOST=1)
    assert error.value.lines == [
        {"sku": "GHOST", "requested": 1, "available": 0},
        {"sku": "HAT", "requested": 1, "available": 0},
        {"sku": "SOCK", "requested": 3, "available": 2},
    ]
    assert stock.pieces() == {"TEE": (5, 0), "SOCK": (2, 0), "HAT": (1, 1)}
    assert stock.status("chk_2") == "unknown"


def test_refused_reservation_locks_no_short_sku(stock: Any, now: datetime) -> None:
    """A lock of HAT after the one of TEE would be against the lock order, and could deadlock with a worker."""
    stock.fill(HAT=0, TEE=5)
    with pytest.raises(OutOfStockError), stock.database.begin() as session:
        reservations.reserve(session, "chk_1", now + HOUR, [("HAT", 1), ("TEE", 1)], now)
    assert [model for model, _ in session.info.get("locked", {}) if model is StockItem] == []


def test_same_sku_on_two_lines_is_added_up(stock: Any, now: datetime) -> None:
    stock.fill(TEE=3)
    with pytest.raises(OutOfStockError), stock.database.begin() as session:
        reservations.reserve(session, "chk_1", now + HOUR, [("TEE", 2), ("TEE", 2)], now)


def test_other_lines_of_the_same_checkout_conflict(stock: Any) -> None:
    stock.fill(TEE=5)
    stock.reserve("chk_1", TEE=1)
    with pytest.raises(ReservationConflictError):
        stock.reserve("chk_1", TEE=2)


def test_released_checkout_cannot_be_reserved_again(stock: Any) -> None:
    stock.fill(TEE=5)
    stock.reserve("chk_1", TEE=1)
    assert stock.release("chk_1")
    assert not stock.release("chk_1")
    with pytest.raises(ReservationConflictError):
        stock.reserve("chk_1", TEE=1)
    assert stock.pieces() == {"TEE": (5, 0)}


def test_due_reservations_expire_in_batches(stock: Any, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "EXPIRY_BATCH_SIZE", 2)
    stock.fill(TEE=10, SOCK=10)
    for number in range(5):
        stock.reserve(f"chk_{number}", now, TEE=1, SOCK=1)
    stock.reserve("chk_later", now + HOUR, TEE=1)
    assert expire_due(stock.database, now) == 5
    assert expire_due(stock.database, now) == 0
    assert stock.status("chk_0") == "expired"
    assert stock.pieces() == {"TEE": (10, 1), "SOCK": (10, 0)}


def test_extended_reservation_does_not_expire(stock: Any, now: datetime) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", now, TEE=1)
    assert stock.extend("chk_1", now + HOUR)
    assert expire_due(stock.database, now) == 0


def test_extension_after_expiry_reserves_the_pieces_again(stock: Any, now: datetime) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", now, TEE=1)
    expire_due(stock.database, now)
    assert stock.extend("chk_1", now + HOUR)
    assert (stock.status("chk_1"), stock.pieces()) == ("held", {"TEE": (1, 1)})


def test_extension_after_expiry_reserves_all_lines_or_none(stock: Any, now: datetime) -> None:
    stock.fill(TEE=1, SOCK=1)
    stock.reserve("chk_1", now, TEE=1, SOCK=1)
    expire_due(stock.database, now)
    stock.reserve("chk_2", TEE=1)
    assert not stock.extend("chk_1", now + HOUR)
    assert (stock.status("chk_1"), stock.pieces()) == ("expired", {"TEE": (1, 1), "SOCK": (1, 0)})
