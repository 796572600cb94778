import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.contracts import registry
from events.messaging.event import Event, new_id, own_event
from events.messaging.outbox import OutboxEvent
from events.testing.arrival import each_order
from events.testing.bus import deliver
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory import stock_changes
from inventory.chains import CHAINS
from inventory.handlers import handlers
from inventory.models import CountedShipment, Movement, Reservation, ReservationLine, StockItem
from inventory.reservations import expire_due
from sqlalchemy import delete, select, update

CONTRACTS = Path(__file__).parents[4] / "libs/events/tests/contracts"


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def paid(checkout_id: str) -> Event:
    return as_bus_event(stripe_event("checkout.session.completed", checkout_session(checkout_id)))


def returned(return_id: str, checkout_id: str = "chk_1", **pieces: int) -> Event:
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()]
    data = {"order_id": "ord_1", "checkout_id": checkout_id, "return_id": return_id, "lines": lines}
    return own_event("orders.stock.returned", data, correlation_id=checkout_id)


def recorded_returns(database: Database) -> list[tuple[str, int, str]]:
    with database.read() as session:
        rows = session.scalars(select(Movement).where(Movement.kind == "return").order_by(Movement.id))
        return [(row.sku, row.delta, row.reason) for row in rows]


@pytest.fixture
def sold(stock: Any, database: Database) -> Any:
    stock.fill(TEE=5, SOCK=2)
    stock.reserve("chk_1", TEE=3, SOCK=1)
    assert deliver(database, handlers, paid("chk_1")) == "done"
    return stock


def test_returned_pieces_are_available_again(sold: Any, database: Database) -> None:
    assert deliver(database, handlers, returned("ret_1", TEE=2)) == "done"
    assert sold.pieces() == {"TEE": (4, 0), "SOCK": (1, 0)}
    assert recorded_returns(database) == [("TEE", 2, "returned (ret_1)")]


def test_same_return_in_two_events_counts_once(sold: Any, database: Database) -> None:
    for _ in range(2):
        assert deliver(database, handlers, returned("ret_1", TEE=1, SOCK=1)) == "done"
    assert sold.pieces() == {"TEE": (3, 0), "SOCK": (2, 0)}


def test_return_adds_at_most_the_sold_pieces(sold: Any, database: Database) -> None:
    for event in (returned("ret_1", TEE=2), returned("ret_2", TEE=2, SOCK=9, HAT=1), returned("ret_3", TEE=1)):
        assert deliver(database, handlers, event) == "done"
    assert sold.pieces() == {"TEE": (5, 0), "SOCK": (2, 0)}
    assert recorded_returns(database) == [
        ("TEE", 2, "returned (ret_1)"),
        ("SOCK", 1, "returned (ret_2), 1 of 9 pieces: no more were sold and not yet returned"),
        ("TEE", 1, "returned (ret_2), 1 of 2 pieces: no more were sold and not yet returned"),
    ]


def test_missing_pieces_cannot_be_returned(stock: Any, database: Database, now: datetime) -> None:
    stock.fill(TEE=3)
    stock.reserve("chk_1", now, TEE=3)
    expire_due(database, now + timedelta(seconds=1))
    stock.reserve("chk_2", TEE=2)
    deliver(database, handlers, paid("chk_1"))
    assert deliver(database, handlers, returned("ret_1", TEE=3)) == "done"
    assert stock.pieces() == {"TEE": (3, 2)}


def test_return_before_its_sale_waits(stock: Any, database: Database) -> None:
    assert deliver(database, handlers, returned("ret_1", TEE=1)) == "waiting"
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    assert deliver(database, handlers, returned("ret_2", TEE=1)) == "waiting"


def test_every_order_of_two_returns_leads_to_the_same_stock(stock: Any, database: Database) -> None:
    for number, order in enumerate(sorted(set(permutations([1, 1, 2, 2])))):
        checkout_id, sku = f"chk_{number}", f"SKU{number}"
        stock.fill(**{sku: 4})
        stock.reserve(checkout_id, **{sku: 3})
        deliver(database, handlers, paid(checkout_id))
        for quantity in order:
            deliver(database, handlers, returned(f"ret_{number}_{quantity}", checkout_id, **{sku: quantity}))
        assert stock.pieces()[sku] == (4, 0), order


def test_returns_at_once_add_the_sold_pieces_once(stock_in: Any, postgres_database: MakeDatabase) -> None:
    database = postgres_database(CHAINS)
    stock = stock_in(database).fill(TEE=5)
    stock.reserve("chk_1", TEE=3)
    deliver(database, handlers, paid("chk_1"))
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: deliver(database, handlers, returned(f"ret_{n % 4}", TEE=2)), range(8)))
    assert set(outcomes) == {"done"}
    pieces: Mapping[str, tuple[int, int]] = stock.pieces()
    assert pieces == {"TEE": (5, 0)}


def shipped(shipment_id: str, **pieces: int) -> Event:
    golden = json.loads((CONTRACTS / "orders.order.shipped.v1.json").read_text("utf-8"))
    data = registry.load("orders.order.shipped", 1, golden) | {
        "checkout_id": "chk_1",
        "shipment_id": shipment_id,
        "shipped": [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()],
    }
    return own_event("orders.order.shipped", data, correlation_id="chk_1")


def canceled(revision: int, **pieces: int) -> Event:
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()]
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "revision": revision, "canceled": lines}
    return own_event("orders.goods.changed", data, correlation_id="chk_1")


def waiting_pieces(database: Database) -> dict[str, int]:
    with database.read() as session:
        items = stock_changes.stock_values(session, session.scalars(select(StockItem)).all())
    return {item["sku"]: item["sold_unshipped"] for item in items}


def test_sold_pieces_wait_on_the_shelf_until_they_ship(sold: Any, database: Database) -> None:
    assert waiting_pieces(database) == {"TEE": 3, "SOCK": 1}
    for _ in range(2):
        assert deliver(database, handlers, shipped("shp_1", TEE=1)) == "done"
    assert waiting_pieces(database) == {"TEE": 2, "SOCK": 1}
    deliver(database, handlers, returned("ret_1", TEE=1))
    assert waiting_pieces(database) == {"TEE": 2, "SOCK": 1}, "the shipped one came back"
    deliver(database, handlers, shipped("shp_2", TEE=2, SOCK=1))
    assert waiting_pieces(database) == {"TEE": 0, "SOCK": 0}
    assert sold.pieces() == {"TEE": (3, 0), "SOCK": (1, 0)}


def test_newest_revision_says_what_does_not_ship_any_more(sold: Any, database: Database) -> None:
    facts = {
        "shipped": shipped("shp_1", TEE=1),
        "one": canceled(1, TEE=2),
        "two": canceled(2, TEE=1),
        "back": returned("ret_1", TEE=1),
    }
    for order in permutations(facts):
        with database.begin() as session:
            session.execute(update(Reservation).values(goods_revision=0))
            unshipped = {"canceled": 0, "shipped": 0, "sold_unshipped": ReservationLine.quantity}
            session.execute(update(ReservationLine).values(unshipped))
            session.execute(delete(CountedShipment))
        for name in order:
            assert deliver(database, handlers, replace(facts[name], id=new_id())) == "done"
        assert waiting_pieces(database) == {"TEE": 1, "SOCK": 1}, order
    deliver(database, handlers, canceled(3))
    assert waiting_pieces(database) == {"TEE": 2, "SOCK": 1}, "the refund failed"


def test_failed_refund_with_restock_ends_alike_in_any_order(sqlite_database: MakeDatabase, stock_in: Any) -> None:
    """Of three sold pieces, one is refunded, owed again because the refund failed, and refunded once more."""
    database = sqlite_database(CHAINS)
    sold = stock_in(database).fill(TEE=5)
    sold.reserve("chk_1", TEE=3)
    deliver(database, handlers, paid("chk_1"))
    facts = {
        "back": returned("ret_1", TEE=1),
        "back again": returned("ret_2", TEE=1),
        "refunded": canceled(1, TEE=1),
        "refunded again": canceled(3, TEE=1),
        "taken": taken("ret_1-taken", TEE=1),
        "unrefunded": canceled(2),
    }

    def deliver_twice(_before: Sequence[str], name: str) -> None:
        for event_id in (f"evt_{name}", f"evt_{name}_twin"):
            assert deliver(database, handlers, replace(facts[name], id=event_id)) == "done"

    orders = random.Random(5).sample(list(permutations(facts)), 24)  # noqa: S311 - the same in every run
    for order in each_order(database, orders, deliver_twice):
        assert (sold.pieces(), waiting_pieces(database)) == ({"TEE": (3, 0)}, {"TEE": 2}), order


def test_change_of_goods_waits_for_the_sale(stock: Any, database: Database) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)
    assert deliver(database, handlers, canceled(1, TEE=1)) == "waiting"


def test_missing_piece_is_the_first_that_does_not_ship(stock: Any, database: Database, now: datetime) -> None:
    stock.fill(TEE=2).reserve("chk_1", now, TEE=2)
    expire_due(database, now)
    stock.reserve("chk_2", TEE=1)
    deliver(database, handlers, paid("chk_1"))
    assert waiting_pieces(database) == {"TEE": 1}
    deliver(database, handlers, canceled(1, TEE=1))
    assert waiting_pieces(database) == {"TEE": 1}
    deliver(database, handlers, canceled(2, TEE=2))
    assert waiting_pieces(database) == {"TEE": 0}


def test_parcel_waits_for_the_sale(stock: Any, database: Database) -> None:
    stock.fill(TEE=5).reserve("chk_1", TEE=3)
    assert deliver(database, handlers, shipped("shp_1", TEE=3)) == "waiting"


def test_missing_piece_that_ships_after_all_leaves_the_stock(stock: Any, database: Database, now: datetime) -> None:
    stock.fill(TEE=2).reserve("chk_1", now, TEE=2)
    expire_due(database, now)
    stock.reserve("chk_2", TEE=1)
    deliver(database, handlers, paid("chk_1"))
    with database.begin() as session:
        request = stock_changes.StockRequest(sku="TEE", adjust=4, reason="delivery")
        stock_changes.change_stock(session, request, None, actor="ana", now=now)
    assert stock.pieces() == {"TEE": (5, 1)}
    deliver(database, handlers, shipped("shp_1", TEE=2))
    assert stock.pieces() == {"TEE": (4, 1)}
    assert waiting_pieces(database) == {"TEE": 0}


def taken(return_id: str, **pieces: int) -> Event:
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in pieces.items()]
    data = {"order_id": "ord_1", "checkout_id": "chk_1", "return_id": return_id, "lines": lines}
    return own_event("orders.stock.taken", data, correlation_id="chk_1")


def test_pieces_whose_refund_failed_leave_the_stock_once(sold: Any, database: Database) -> None:
    before = sold.pieces()
    for event in (taken("ret_1-taken", TEE=1), returned("ret_1", TEE=1), taken("ret_1-taken", TEE=1)):
        assert deliver(database, handlers, event) == "done", "in any order, also twice"
    assert sold.pieces() == before
    assert [delta for _, delta, _ in recorded_returns(database)] == [-1, 1]


def test_taken_pieces_that_are_reserved_again_are_oversold(sold: Any, database: Database) -> None:
    assert deliver(database, handlers, taken("ret_0-taken", SOCK=2)) == "waiting", "its return has not arrived"
    assert deliver(database, handlers, returned("ret_1", SOCK=1)) == "done"
    sold.reserve("chk_2", SOCK=2)
    assert deliver(database, handlers, taken("ret_1-taken", SOCK=1)) == "done"
    assert sold.pieces()["SOCK"] == (2, 2)
    with database.read() as session:
        [oversold] = [row.event() for row in session.scalars(select(OutboxEvent)) if "oversold" in row.routing_key]
    assert oversold.data["lines"] == [{"sku": "SOCK", "quantity": 1, "missing": 1}]
    assert oversold.data["return_id"] == "ret_1-taken"


def test_piece_that_was_sold_again_does_not_come_back_twice(sold: Any, database: Database) -> None:
    """It is refunded, sold again, owed again because the refund failed, and refunded once more."""
    deliver(database, handlers, returned("ret_1", SOCK=1))
    sold.reserve("chk_2", SOCK=2)
    deliver(database, handlers, taken("ret_1-taken", SOCK=1))
    assert deliver(database, handlers, returned("ret_2", SOCK=1)) == "done"
    assert sold.pieces()["SOCK"] == (2, 2)
    assert waiting_pieces(database)["SOCK"] == 0
