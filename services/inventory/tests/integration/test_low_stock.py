from typing import Any

import pytest
from events.database.engine import Database
from events.testing.bus import outbox_events
from events.testing.fixtures import MakeDatabase
from inventory import low_stock
from inventory.chains import CHAINS


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def published(database: Database) -> list[tuple[str, int]]:
    low_stock.publish_low_stock(database, 2)
    return [(event.data["sku"], event.data["available"]) for event in outbox_events(database)]


def test_low_stock_is_published_once_until_it_has_recovered(stock: Any, database: Database) -> None:
    stock.fill(TEE=5, SOCK=9)
    assert published(database) == []
    stock.reserve("chk_1", TEE=3)
    assert published(database) == [("TEE", 2)]
    stock.reserve("chk_2", TEE=1)
    assert published(database) == [("TEE", 2)]
    stock.release("chk_1")
    assert published(database) == [("TEE", 2)]
    stock.reserve("chk_3", TEE=4)
    assert published(database) == [("TEE", 2), ("TEE", 0)]


def test_many_low_skus_are_published_in_batches(
    stock: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(low_stock, "SKU_BATCH_SIZE", 2)
    stock.fill(A=1, B=1, C=1, D=1, E=9)
    assert published(database) == [("A", 1), ("B", 1), ("C", 1), ("D", 1)]
