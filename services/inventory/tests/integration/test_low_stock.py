from collections.abc import Callable
from typing import Any

import pytest
from events.database.engine import Database
from events.testing.bus import outbox_events
from events.testing.fixtures import MakeDatabase
from inventory import low_stock
from inventory.chains import CHAINS
from inventory.models import StockItem


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


def test_unpublishable_sku_does_not_block_the_others(stock: Any, database: Database, logged: Callable[[], str]) -> None:
    """An earlier release accepted a sku of 64 characters with four bytes each."""
    with database.begin() as session:
        session.add(StockItem(sku="\U0001f455" * 64, on_hand=0, reserved=0))
    stock.fill(A=1)
    assert published(database) == [("A", 1)]
    assert "low stock cannot be published" in logged()
    assert published(database) == [("A", 1)]
    assert "low stock cannot be published" not in logged()  # said once
