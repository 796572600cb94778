"""Many buyers at once, on PostgreSQL, which alone runs write transactions side by side."""

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
from events.testing import deliver
from events.testing.fixtures import MakeDatabase
from events.testing.servers import wait_until
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from inventory.app import create_app
from inventory.config import Config
from inventory.handlers import handlers
from inventory.models import CHAINS
from inventory.reservations import expire_due
from sqlalchemy import text

BUYERS = 50
AT_ONCE = 20  # connections that one process's pool has


@pytest.fixture
def database(postgres_database: MakeDatabase) -> Database:
    return postgres_database(CHAINS)


@pytest.fixture
def buy(config: Config, database: Database) -> Callable[[str, Mapping[str, int]], int]:
    """Ask for a cart over HTTP; the status of the answer."""
    app = create_app(config, database=database)

    def ask(checkout_id: str, cart: Mapping[str, int]) -> int:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in cart.items()]
        body = {"checkout_id": checkout_id, "expires_at": "2026-11-02T12:00:00Z", "lines": lines}
        headers = {"Authorization": f"Bearer {config.service_token}"}
        return app.test_client().post("/reservations", json=body, headers=headers).status_code

    return ask


def at_once(work: Callable[[int], Any], times: int) -> list[Any]:
    start = Barrier(AT_ONCE)

    def run(number: int) -> Any:
        if number < AT_ONCE:
            start.wait(30)
        return work(number)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(times)))


def test_last_item_is_sold_to_one_of_fifty(shelf: Any, buy: Callable[..., int]) -> None:
    shelf.fill(TEE=1)
    answers = at_once(lambda number: buy(f"chk_{number}", {"TEE": 1}), BUYERS)
    assert Counter(answers) == {201: 1, 409: BUYERS - 1}
    assert shelf.pieces() == {"TEE": (1, 1)}


def test_same_checkout_asked_many_times_holds_once(shelf: Any, buy: Callable[..., int]) -> None:
    shelf.fill(TEE=9)
    answers = at_once(lambda _: buy("chk_1", {"TEE": 2}), BUYERS)
    assert Counter(answers) == {201: 1, 200: BUYERS - 1}
    assert shelf.pieces() == {"TEE": (9, 2)}


def test_overlapping_carts_never_deadlock(shelf: Any, buy: Callable[..., int]) -> None:
    skus = ["TEE", "SOCK", "HAT", "COAT"]
    shelf.fill(**dict.fromkeys(skus, 60))
    shuffled = random.Random(7)  # noqa: S311 - the same carts in every run
    carts = [dict.fromkeys(shuffled.sample(skus, 3), 2) for _ in range(100)]
    answers = at_once(lambda number: buy(f"chk_{number}", carts[number]), len(carts))
    held = Counter(sku for cart, answer in zip(carts, answers, strict=True) if answer == 201 for sku in cart)
    assert set(answers) <= {201, 409}
    assert shelf.pieces() == {sku: (60, 2 * held[sku]) for sku in skus}


def test_payment_and_expiry_at_once_sell_or_give_back_but_not_both(
    shelf: Any, database: Database, now: datetime
) -> None:
    shelf.fill(TEE=20, SOCK=20)
    for number in range(20):
        shelf.reserve(f"chk_{number}", now, TEE=1, SOCK=1)

    def pay_or_expire(number: int) -> None:
        if number % 4 == 3:
            expire_due(database, now + timedelta(seconds=1))
        session = checkout_session(f"chk_{number}", created=0, expires_at=0)
        deliver(database, handlers, as_bus_event(stripe_event("checkout.session.completed", session)))

    at_once(pay_or_expire, 20)
    assert shelf.pieces() == {"TEE": (0, 0), "SOCK": (0, 0)}
    assert {shelf.status(f"chk_{number}") for number in range(20)} == {"committed"}


def test_worker_takes_the_stock_of_a_batch_as_a_customer_does(database: Database, shelf: Any) -> None:
    """A worker that took the stock of one checkout after that of the other would wait for a customer in a circle: each
    has what the other wants."""
    shelf.fill(BEANIE=9, TEE=9)
    shelf.reserve("chk_1", TEE=1)
    shelf.reserve("chk_2", BEANIE=1)
    events = [as_bus_event(stripe_event("checkout.session.completed", paid_session(f"chk_{n}"))) for n in (1, 2)]
    with ThreadPoolExecutor(1) as worker, database.begin() as customer:
        customer.execute(text("SET LOCAL deadlock_timeout = '10ms'"))  # who looks first is the one that fails
        customer.execute(text("SELECT 1 FROM stock WHERE sku = 'BEANIE' FOR UPDATE"))
        working = worker.submit(Runner(database, handlers).handle, events)
        wait_until(lambda: waits_for_a_lock(database), 20, "the worker, at the first sku")
        customer.execute(text("SELECT 1 FROM stock WHERE sku = 'TEE' FOR UPDATE"))
        customer.commit()
        working.result(20)
    assert [shelf.status(f"chk_{n}") for n in (1, 2)] == ["committed", "committed"]


def paid_session(checkout_id: str) -> dict[str, Any]:
    return checkout_session(checkout_id, id=f"cs_{checkout_id}", payment_status="paid")


def waits_for_a_lock(database: Database) -> bool:
    with database.read() as session:
        waiting = "datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}")))
