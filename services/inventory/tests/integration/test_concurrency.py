"""Many customers at once, on PostgreSQL: SQLite has only one writer at a time."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from events.database.engine import Database
from events.messaging.runner import Runner
from events.testing.bus import deliver
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from events.testing.waiting import wait_until
from inventory.app import create_app
from inventory.chains import CHAINS
from inventory.config import Config
from inventory.handlers import handlers
from inventory.reservations import expire_due
from sqlalchemy import text

CUSTOMERS = 50
THREADS = 20  # as many as the connections in one process's pool


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    return postgres_database(CHAINS)


@pytest.fixture
def reserve_cart(config: Config, database: Database) -> Callable[[str, Mapping[str, int]], int]:
    """Return a function that reserves a cart over HTTP and returns the answer's status."""
    app = create_app(config, database=database)

    def reserve(checkout_id: str, cart: Mapping[str, int]) -> int:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in cart.items()]
        body = {"checkout_id": checkout_id, "expires_at": "2026-11-02T12:00:00Z", "lines": lines}
        headers = {"Authorization": f"Bearer {config.service_token}"}
        return app.test_client().post("/reservations", json=body, headers=headers).status_code

    return reserve


def run_at_once(work: Callable[[int], Any], times: int) -> list[Any]:
    start = Barrier(THREADS)

    def run(number: int) -> Any:
        if number < THREADS:
            start.wait(30)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(times)))


def test_last_piece_is_reserved_for_one_of_fifty(stock: Any, reserve_cart: Callable[..., int]) -> None:
    stock.fill(TEE=1)
    answers = run_at_once(lambda number: reserve_cart(f"chk_{number}", {"TEE": 1}), CUSTOMERS)
    assert Counter(answers) == {201: 1, 409: CUSTOMERS - 1}
    assert stock.pieces() == {"TEE": (1, 1)}


def test_same_checkout_many_times_reserves_once(stock: Any, reserve_cart: Callable[..., int]) -> None:
    stock.fill(TEE=9)
    answers = run_at_once(lambda _: reserve_cart("chk_1", {"TEE": 2}), CUSTOMERS)
    assert Counter(answers) == {201: 1, 200: CUSTOMERS - 1}
    assert stock.pieces() == {"TEE": (9, 2)}


def test_overlapping_carts_never_deadlock(stock: Any, reserve_cart: Callable[..., int]) -> None:
    skus = ["TEE", "SOCK", "HAT", "COAT"]
    stock.fill(**dict.fromkeys(skus, 60))
    shuffled = random.Random(7)  # noqa: S311 - the same carts in every run
    carts = [dict.fromkeys(shuffled.sample(skus, 3), 2) for _ in range(100)]
    answers = run_at_once(lambda number: reserve_cart(f"chk_{number}", carts[number]), len(carts))
    held = Counter(sku for cart, answer in zip(carts, answers, strict=True) if answer == 201 for sku in cart)
    assert set(answers) <= {201, 409}
    assert stock.pieces() == {sku: (60, 2 * held[sku]) for sku in skus}


def test_payment_and_expiry_at_once_sell_each_piece_once(stock: Any, database: Database, now: datetime) -> None:
    stock.fill(TEE=20, SOCK=20)
    for number in range(20):
        stock.reserve(f"chk_{number}", now, TEE=1, SOCK=1)

    def pay_or_expire(number: int) -> None:
        if number % 4 == 3:
            expire_due(database, now + timedelta(seconds=1))
        session = checkout_session(f"chk_{number}", created=0, expires_at=0)
        deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", session)))

    run_at_once(pay_or_expire, 20)
    assert stock.pieces() == {"TEE": (0, 0), "SOCK": (0, 0)}
    assert {stock.status(f"chk_{number}") for number in range(20)} == {"committed"}


@pytest.mark.parametrize(("first", "second"), [("BEANIE", "TEE"), ("TEE", "beanie")], ids=["capitals", "mixed case"])
def test_worker_locks_the_stock_of_a_batch_in_the_order_of_skus(
    database: Database, stock: Any, first: str, second: str
) -> None:
    """A worker that locked one checkout's stock after another's could deadlock with a customer's reservation."""
    stock.fill(**{first: 9, second: 9})
    stock.reserve("chk_1", **{second: 1})
    stock.reserve("chk_2", **{first: 1})
    with database.begin() as session:  # in this order of words, beanie is before TEE
        session.execute(text('ALTER TABLE stock_items ALTER COLUMN sku TYPE varchar COLLATE "en-x-icu"'))
    events = [as_bus_event(stripe_event("checkout.session.completed", paid_session(f"chk_{n}"))) for n in (1, 2)]
    with ThreadPoolExecutor(1) as worker, database.begin() as customer:
        customer.execute(text("SET LOCAL deadlock_timeout = '10ms'"))  # the first to look for a deadlock fails
        customer.execute(text("SELECT 1 FROM stock_items WHERE sku = :sku FOR UPDATE"), {"sku": first})
        working = worker.submit(Runner(database, handlers).handle, events)
        wait_until(lambda: is_waiting_for_a_lock(database), 20, "the worker waits for the first sku")
        customer.execute(text("SELECT 1 FROM stock_items WHERE sku = :sku FOR UPDATE"), {"sku": second})
        customer.commit()
        working.result(20)
    assert [stock.status(f"chk_{n}") for n in (1, 2)] == ["committed", "committed"]


def paid_session(checkout_id: str) -> dict[str, Any]:
    return checkout_session(checkout_id, id=f"cs_{checkout_id}", payment_status="paid")


def is_waiting_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        waiting = "datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")))
