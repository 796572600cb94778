from typing import Any

import pytest
from events.database.engine import Database
from events.testing import outbox_events
from events.testing.fixtures import MakeDatabase
from inventory import low_stock, reservations
from inventory.models import CHAINS


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def told(database: Database) -> list[tuple[str, int]]:
    low_stock.tell(database, 2)
    return [(event.data["sku"], event.data["available"]) for event in outbox_events(database)]


def release(database: Database, checkout_id: str) -> None:
    with database.begin() as session:
        reservation = reservations.find(session, checkout_id)
        assert reservation is not None
        reservations.release(session, reservation)


def test_low_stock_is_told_once_until_it_has_recovered(shelf: Any, database: Database) -> None:
    shelf.fill(TEE=5, SOCK=9)
    assert told(database) == []
    shelf.reserve("chk_1", TEE=3)
    assert told(database) == [("TEE", 2)]
    shelf.reserve("chk_2", TEE=1)
    assert told(database) == [("TEE", 2)]
    release(database, "chk_1")
    assert told(database) == [("TEE", 2)]
    shelf.reserve("chk_3", TEE=4)
    assert told(database) == [("TEE", 2), ("TEE", 0)]


def test_many_skus_are_told_in_batches(shelf: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_stock, "BATCH", 2)
    shelf.fill(A=1, B=1, C=1, D=1, E=9)
    assert told(database) == [("A", 1), ("B", 1), ("C", 1), ("D", 1)]
