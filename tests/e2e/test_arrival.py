"""One card purchase in orders, inventory and notifications: its events in every order, each also twice."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import inventory.chains
import notifications.chains
import orders.chains
import pytest
from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.database.migrations import Chain
from events.messaging import publisher
from events.messaging.event import Event, own_event
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
from events.testing.bus import Bus
from events.testing.fixtures import MakeDatabase
from events.testing.stripe import as_bus_event, charge, checkout_session, payment_intent, stripe_event
from events.testing.waiting import wait_until
from inventory import ledger, reservations
from inventory.handlers import handlers as inventory_handlers
from inventory.models import Movement, StockItem
from notifications.handlers import create_handlers as create_notifications_handlers
from notifications.models import Email
from orders.handlers import handlers as orders_handlers
from orders.models.orders import Order
from sqlalchemy import select
from webhooks.backfill import publish_with_retries

CHAINS: Mapping[str, Sequence[Chain]] = {
    "orders": orders.chains.CHAINS,
    "inventory": inventory.chains.CHAINS,
    "notifications": notifications.chains.CHAINS,
}
HANDLERS: Mapping[str, Handlers] = {
    "orders": orders_handlers,
    "inventory": inventory_handlers,
    "notifications": create_notifications_handlers(),
}
Databases = Mapping[str, Database]
CART = {"TEE": 2, "SOCK": 1}
ON_HAND = 1000


def migrated_databases(make_database: MakeDatabase) -> Databases:
    databases = {name: make_database(chains) for name, chains in CHAINS.items()}
    ledger.seed(databases["inventory"], {"products": [{"sku": sku, "stock": ON_HAND} for sku in CART]})
    return databases


def start_purchase(databases: Databases, checkout_id: str) -> list[Event]:
    """Reserve the stock and return the events of a purchase of 57.38 EUR: checkout's own, then Stripe's."""
    with databases["inventory"].begin() as session:
        now = utcnow()
        reservations.reserve(session, checkout_id, now + timedelta(hours=2), CART.items(), now)
    session_id, intent = f"cs_{checkout_id}", f"pi_{checkout_id}"
    lines = [
        {"sku": sku, "name": sku, "quantity": quantity, "unit_amount": 1, "amount_total": quantity}
        for sku, quantity in CART.items()
    ]
    started = {
        "checkout_id": checkout_id,
        "session_id": session_id,
        "livemode": False,
        "currency": "eur",
        "amount_subtotal": 5248,
        "amount_discount": 0,
        "amount_shipping": 490,
        "amount_total": 5738,
        "customer_email": "zoe@example.com",
        "expires_at": datetime.now(UTC) + timedelta(minutes=30),
        "lines": lines,
    }
    stripe_objects = {
        "payment_intent.succeeded": payment_intent(checkout_id, id=intent),
        "charge.succeeded": charge(checkout_id, payment_intent=intent),
        "checkout.session.completed": checkout_session(checkout_id, id=session_id, payment_intent=intent),
    }
    return [
        own_event("checkout.checkout.started", started, correlation_id=checkout_id),
        *(as_bus_event(stripe_event(kind, obj)) for kind, obj in stripe_objects.items()),
    ]


Effects = tuple[list[str], list[tuple[str, int]], list[tuple[str, str | None]]]


def effects(databases: Databases, checkout_id: str) -> Effects:
    """Return (order statuses, stock movements, e-mails) of one checkout."""
    with databases["orders"].read() as session:
        statuses = list(session.scalars(select(Order.status).where(Order.checkout_id == checkout_id)))
    with databases["inventory"].read() as session:
        moved = select(Movement.sku, Movement.delta).where(Movement.checkout_id == checkout_id).order_by(Movement.sku)
        movements = [(sku, delta) for sku, delta in session.execute(moved)]
    with databases["notifications"].read() as session:
        written = select(Email.kind, Email.recipient).where(Email.checkout_id == checkout_id)
        mails = [(kind, recipient) for kind, recipient in session.execute(written)]
    return statuses, movements, mails


EFFECTS_ONCE: Effects = (["paid"], [("SOCK", -1), ("TEE", -2)], [("order_confirmed", "zoe@example.com")])


def test_events_in_every_order_have_each_effect_once(sqlite_database: MakeDatabase) -> None:
    databases = migrated_databases(sqlite_database)
    bus = Bus({name: (databases[name], HANDLERS[name]) for name in CHAINS})
    for number, order in enumerate(itertools.permutations(range(4))):
        for way in ("once", "each twice", "all twice"):
            checkout_id = f"chk_{number}_{way.replace(' ', '_')}"
            events = start_purchase(databases, checkout_id)
            arriving = [events[place] for place in order]
            match way:
                case "each twice":
                    arriving = [event for event in arriving for _ in range(2)]
                case "all twice":
                    arriving *= 2
            for event in arriving:
                bus.publish(event)
            bus.run_until_idle()
            assert effects(databases, checkout_id) == EFFECTS_ONCE, (order, way)
    with databases["inventory"].read() as session:
        left = {stock.sku: (stock.on_hand, stock.reserved) for stock in session.scalars(select(StockItem))}
    assert left == {sku: (ON_HAND - 72 * quantity, 0) for sku, quantity in CART.items()}


@pytest.fixture
def working_databases(postgres_database: MakeDatabase, broker_url: str) -> Iterator[Databases]:
    """Yield databases on PostgreSQL for which three workers handle events from RabbitMQ."""
    databases = migrated_databases(postgres_database)
    with ExitStack() as stack:
        for name, database in databases.items():
            config = Common(service=name, port=0, broker_url=broker_url)
            worker = Worker(config, database, HANDLERS[name], publishes=name != "notifications")
            worker.start()
            stack.callback(worker.stop)
        yield databases


def test_workers_have_each_effect_once_in_any_order(working_databases: Databases, broker_url: str) -> None:
    confirmed = publisher.connect(broker_url)
    orders_of_arrival = [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)]
    ids = []
    for number, order in enumerate(orders_of_arrival):
        ids.append(f"chk_{number}")
        events = start_purchase(working_databases, ids[-1])
        for event in [events[place] for place in order for _ in range(2)]:
            publish_with_retries(confirmed, event)
    wait_until(lambda: all(effects(working_databases, each) == EFFECTS_ONCE for each in ids), 30, "all effects")
    confirmed.close()
