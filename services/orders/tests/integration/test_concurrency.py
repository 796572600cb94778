"""Workers on the same orders never deadlock."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from events.messaging.event import Event
from events.messaging.inbox_models import InboxEvent
from events.messaging.runner import Runner
from events.testing.fixtures import MakeDatabase
from orders.chains import CHAINS
from orders.handlers import handlers
from sqlalchemy import event as listener
from sqlalchemy import select

from services.orders.tests.harness import Purchase

ROUNDS, CARTS = 5, 10


def test_batches_with_refunds_of_shared_orders_never_deadlock(postgres_database: MakeDatabase) -> None:
    """A refund from Stripe's dashboard names only its payment. Its order must be locked in the same lock order."""
    database = postgres_database(CHAINS)
    errors: list[str] = []
    listener.listen(database.engine, "handle_error", lambda context: errors.append(str(context.original_exception)))
    for number in range(ROUNDS):
        sides = [[Purchase(f"chk_{number}{side}{cart}") for cart in range(CARTS)] for side in "ab"]
        for cart in sides[0] + sides[1]:
            Runner(database, handlers).handle([cart.started(), cart.completed()])
        batches = [
            [cart.intent_succeeded() for cart in own] + [other[3].refund(f"re_{number}_{other[3].checkout_id}", 100)]
            for own, other in (sides, reversed(sides))
        ]
        start = Barrier(2)

        def work(batch: list[Event], start: Barrier = start) -> None:
            start.wait()
            Runner(database, handlers).handle(batch)

        with ThreadPoolExecutor(2) as workers:
            list(workers.map(work, batches))
    assert errors == []
    with database.read() as session:
        assert set(session.scalars(select(InboxEvent.status))) == {"done"}
