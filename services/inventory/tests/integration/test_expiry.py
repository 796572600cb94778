"""Expiry of reservations while inventory is behind: a payment that came in time keeps its pieces."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from events.clock import utcnow
from events.database.engine import Database
from events.messaging import publisher
from events.messaging.worker import Worker
from events.testing.bus import deliver, outbox_events
from events.testing.stripe import as_bus_event, checkout_session, stripe_event
from events.testing.waiting import wait_until
from inventory.config import Config
from inventory.handlers import handlers
from inventory.worker import create_worker

ENDED = timedelta(minutes=-5)


@pytest.fixture
def worker(config: Config, database: Database) -> Iterator[Worker]:
    made = create_worker(config, database=database)
    yield made
    made.stop()


def sweep(worker: Worker) -> None:
    next(loop for loop in worker.loops if loop.name == "expire-reservations").run()


def paid(checkout_id: str) -> Any:
    session = checkout_session(checkout_id, id=f"cs_{checkout_id}")
    return as_bus_event(stripe_event("checkout.session.completed", session))


def test_payment_in_the_queue_keeps_its_pieces(worker: Worker, stock: Any, database: Database) -> None:
    """Inventory was down until after the reservations' end, and begins with its sweep."""
    stock.fill(TEE=5)
    for checkout_id in ("chk_paid", "chk_left"):
        stock.reserve(checkout_id, utcnow() + ENDED, TEE=1)
    sender = publisher.connect("memory://")
    sender.wait(sender.publish(paid("chk_paid")))
    sweep(worker)
    assert (stock.status("chk_paid"), stock.pieces()) == ("held", {"TEE": (5, 2)}), "its payment may wait in the queue"
    worker.start()
    wait_until(lambda: stock.status("chk_paid") == "committed", 20, "the payment")

    def sweep_and_check() -> bool:
        sweep(worker)
        return bool(stock.status("chk_left") == "expired")

    wait_until(sweep_and_check, 20, "the other one expires")
    assert stock.pieces() == {"TEE": (4, 0)}
    assert [event.type for event in outbox_events(database)] == []
    sender.close()


def test_payment_that_is_retried_keeps_its_pieces(stock: Any, database: Database, worker: Worker) -> None:
    stock.fill(TEE=1)
    stock.reserve("chk_paid", utcnow() + ENDED, TEE=1)
    broken = paid("chk_paid")
    del broken.object["id"]  # its handler fails
    assert deliver(database, handlers, broken) == "retrying"
    worker.consumer.progress.handled_until = utcnow()
    sweep(worker)
    assert stock.status("chk_paid") == "held"


def test_recovered_unpaid_cart_holds_only_the_share(
    worker: Worker, stock: Any, database: Database, client: Any
) -> None:
    """Nine of 20 pieces are held, and unpaid checkouts can hold 18: a voucher for ten holds none, but gets its ten."""
    later = utcnow() + timedelta(hours=1)
    stock.fill(TEE=20)
    stock.reserve("chk_1", later, TEE=10)
    stock.release("chk_1")
    stock.reserve("chk_2", later, TEE=9)
    recovered = {"id": "cs_2", "recovered_from": "cs_1"}
    sender = publisher.connect("memory://")
    worker.start()

    def send(kind: str, payment_status: str) -> None:
        session = checkout_session("chk_1", payment_status=payment_status, **recovered)
        sender.wait(sender.publish(as_bus_event(stripe_event(f"checkout.session.{kind}", session))))

    send("completed", "unpaid")
    operator = {"Authorization": "Bearer operator-token-of-ana"}
    listed = "/reservations?pending=true"
    wait_until(lambda: client.get(listed, headers=operator).json["items"], 20, "the voucher is recorded")
    assert (stock.status("chk_1"), stock.pieces()) == ("released", {"TEE": (20, 9)})
    extension = {"expires_at": (later + timedelta(days=1)).isoformat()}
    service = {"Authorization": "Bearer service-token-of-tests"}
    assert client.patch("/reservations/chk_1", json=extension, headers=service).status_code == 409
    assert stock.pieces() == {"TEE": (20, 9)}
    send("async_payment_succeeded", "paid")
    wait_until(lambda: stock.status("chk_1") == "committed", 20, "the payment")
    assert stock.pieces() == {"TEE": (10, 9)}
    assert [event.type for event in outbox_events(database)] == ["inventory.reservation.committed"]
    sender.close()
