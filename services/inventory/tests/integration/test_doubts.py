"""Doubts: which unpaid checkouts are published, and that each of them gets an answer to its payment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.event import Event
from events.messaging.runner import Runner
from events.testing.arrival import each_order
from events.testing.bus import deliver, outbox_events
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from events.testing.waiting import wait_until
from inventory import reservations, shipments, stock_changes
from inventory.chains import CHAINS
from inventory.handlers import handlers
from sqlalchemy import text

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)


@pytest.fixture
def database(any_database: MakeDatabase) -> Database:
    return any_database(CHAINS)


def change_stock(database: Database, **change: Any) -> None:
    """Count or adjust the T-shirts, as an operator does."""
    request = stock_changes.StockRequest(sku="TEE", reason="moths", **change)
    with database.begin() as session:
        stock_changes.change_stock(session, request, None, actor="ana", now=NOW)


def release(database: Database, checkout_id: str) -> None:
    """Release a checkout's pieces, as an operator does."""
    with database.begin() as session:
        reservation = reservations.lock_reservation(session, checkout_id)
        assert reservation is not None
        reservations.release_for_operator(session, reservation, NOW, is_forced=False)


def paid(checkout_id: str, payment_status: str = "paid") -> Event:
    session = checkout_session(checkout_id, id=f"cs_{checkout_id}", payment_status=payment_status)
    document = stripe_event("checkout.session.completed", session, event_id=f"evt_{checkout_id}_{payment_status}")
    return as_bus_event(document)


def published(database: Database) -> list[tuple[str, str]]:
    """Return the facts about reservations and their checkouts, oldest first."""
    return [(event.type.rpartition(".")[2], event.data["checkout_id"]) for event in outbox_events(database)]


def doubted(database: Database) -> set[str]:
    return {checkout_id for fact, checkout_id in published(database) if fact == "doubted"}


@pytest.mark.parametrize(
    ("change", "in_doubt"),
    [
        ({"adjust": -2}, set()),  # two pieces are free
        ({"adjust": -3}, {"chk_1", "chk_2"}),
        ({"on_hand": 2}, {"chk_1", "chk_2"}),
        ({"on_hand": 0}, {"chk_1", "chk_2"}),
    ],
)
def test_loss_below_the_reserved_pieces_doubts_all_holders(
    stock: Any, database: Database, change: dict[str, int], in_doubt: set[str]
) -> None:
    """A checkout that is paid, has ended, or has other skus is not in doubt."""
    stock.fill(TEE=7, SOCK=5)
    for checkout_id in ("chk_1", "chk_paid", "chk_ended"):
        stock.reserve(checkout_id, TEE=2)
    stock.reserve("chk_2", TEE=1, SOCK=1)
    stock.reserve("chk_socks", SOCK=2)
    deliver(database, handlers, paid("chk_paid"))
    stock.release("chk_ended")
    change_stock(database, **change)
    assert doubted(database) == in_doubt


def test_second_loss_publishes_no_doubt_again(stock: Any, database: Database) -> None:
    stock.fill(TEE=3)
    stock.reserve("chk_1", TEE=2)
    change_stock(database, on_hand=1)
    change_stock(database, on_hand=3)
    stock.reserve("chk_2", TEE=1)
    change_stock(database, on_hand=2)
    release(database, "chk_1")
    assert published(database) == [("doubted", "chk_1"), ("doubted", "chk_2")]


def test_parcel_with_a_missing_piece_doubts_the_holders(stock: Any, database: Database) -> None:
    """A new piece is reserved by a customer, and a parcel takes it."""
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    change_stock(database, on_hand=0)
    deliver(database, handlers, paid("chk_1"))
    change_stock(database, on_hand=1)
    stock.reserve("chk_2", TEE=1)
    with database.begin() as session:
        shipped = [{"sku": "TEE", "quantity": 1}]
        shipments.record_shipment(session, "chk_1", "shp_1", shipped, occurred_at=NOW)
    assert doubted(database) == {"chk_1", "chk_2"}


@pytest.mark.parametrize("status", ["paid", "no_payment_required"])
def test_each_doubted_checkout_gets_an_answer(stock: Any, database: Database, status: str) -> None:
    """Of four pieces one is lost: three customers pay, the last one gets none."""
    stock.fill(TEE=4)
    checkouts = [f"chk_{number}" for number in range(4)]
    for checkout_id in checkouts:
        stock.reserve(checkout_id, TEE=1)
    change_stock(database, on_hand=3)
    Runner(database, handlers).handle([paid(checkout_id, status) for checkout_id in checkouts])
    facts = published(database)[4:]
    assert sorted(facts) == [*(("committed", checkout_id) for checkout_id in checkouts[:3]), ("oversold", "chk_3")]


@pytest.mark.parametrize("is_sold", [False, True])
def test_released_checkout_gets_an_answer(stock: Any, database: Database, is_sold: bool) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_1", TEE=1)
    release(database, "chk_1")
    if is_sold:
        stock.reserve("chk_2", TEE=1)
    deliver(database, handlers, paid("chk_1"))
    assert published(database) == [("doubted", "chk_1"), ("oversold" if is_sold else "committed", "chk_1")]


def test_every_order_of_loss_and_payments_ends_with_answers(
    sqlite_database: MakeDatabase, stock_in: Callable[[Database], Any]
) -> None:
    """A payment before the loss gets the pieces. Each doubted checkout gets one answer, also after a delivery."""
    database = sqlite_database(CHAINS)

    def do(_: Sequence[str], fact: str) -> None:
        match fact:
            case "loss":
                change_stock(database, on_hand=0)
            case "delivery":
                change_stock(database, adjust=5)
            case _:
                deliver(database, handlers, paid(fact))

    stock = stock_in(database).fill(TEE=2)
    stock.reserve("chk_1", TEE=1)
    stock.reserve("chk_2", TEE=1)
    for order in each_order(database, permutations(["chk_1", "chk_2", "loss", "delivery"]), do):
        answers = [checkout_id for fact, checkout_id in published(database) if fact != "doubted"]
        assert sorted(answers) == sorted(doubted(database)), order
        assert doubted(database) <= {*order[order.index("loss") :]}, order


def test_payment_that_waits_for_the_stock_sees_the_loss(
    postgres_database: MakeDatabase, stock_in: Callable[[Database], Any]
) -> None:
    """The payment has locked its reservation and waits for the stock, which the loss has locked."""
    database = postgres_database(CHAINS)
    stock_in(database).fill(TEE=1).reserve("chk_1", TEE=1)
    loss = stock_changes.StockRequest(sku="TEE", on_hand=0, reason="moths")
    with ThreadPoolExecutor(1) as worker:
        with database.begin() as operator:
            stock_changes.change_stock(operator, loss, None, actor="ana", now=NOW)
            payment = worker.submit(deliver, database, handlers, paid("chk_1"))
            wait_until(lambda: is_waiting_for_a_lock(database), 30, "the payment waits for the stock")
        assert payment.result(30) == "done"
    assert published(database) == [("doubted", "chk_1"), ("oversold", "chk_1")]


def is_waiting_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        waiting = "datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")))
