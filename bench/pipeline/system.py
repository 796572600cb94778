"""The services' processes, and purchases in their databases that wait for payment."""

import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import psycopg
from checkout import models as checkout
from checkout.chains import CHAINS as CHECKOUT_CHAINS
from events.clock import utcnow
from events.database.engine import Database
from events.database.migrations import migrate
from events.messaging import outbox
from events.operations import inbox
from events.testing.ports import free_port
from inventory import models as inventory
from inventory.chains import CHAINS as INVENTORY_CHAINS
from notifications.chains import CHAINS as NOTIFICATIONS_CHAINS
from orders.chains import CHAINS as ORDERS_CHAINS
from sqlalchemy import insert

from bench.processes import MeasuredProcess, running
from bench.purchases import AMOUNT, CURRENCY, QUANTITY, SKU, UNIT_AMOUNT, checkout_id, session_id
from bench.servers import Broker, Databases

SERVICES = ("checkout", "orders", "inventory", "notifications")
CHAINS: Mapping[str, Any] = {
    "checkout": CHECKOUT_CHAINS,
    "orders": ORDERS_CHAINS,
    "inventory": INVENTORY_CHAINS,
    "notifications": NOTIFICATIONS_CHAINS,
}
SECRET, TOKEN = "whsec_bench", "bench-bench-bench"
STOCK_PIECES = 1_000_000
EMAIL = "zoe@example.com"
AMOUNTS = {"amount_subtotal": AMOUNT, "amount_discount": 0, "amount_shipping": 0, "amount_total": AMOUNT}
LINE = {"sku": SKU, "name": "Tee", "quantity": QUANTITY, "unit_amount": UNIT_AMOUNT, "amount_total": AMOUNT}


class System:
    """The services with migrated databases. `serving` and `working` run their processes."""

    def __init__(self, broker: Broker, databases: Databases, folder: Path, smtp_port: int) -> None:
        self.broker, self._folder, self._smtp_port = broker, folder, smtp_port
        self.urls = {name: databases.create(f"bench_{name}") for name in SERVICES}
        for name, url in self.urls.items():
            database = Database(url)
            migrate(database, CHAINS[name])
            database.dispose()
        self._fill_stock()

    @contextmanager
    def serving(self) -> Iterator[tuple[int, MeasuredProcess]]:
        """Run the ingest until the block ends and yield its port and process."""
        port = free_port()
        environment = {"PORT": str(port), "STRIPE_WEBHOOK_SECRETS": SECRET, "LIVEMODE": "false"}
        ready = f"http://127.0.0.1:{port}/readyz"
        with self._running("webhooks", "web", environment, lambda: httpx.get(ready).status_code == 200) as process:
            yield port, process

    @contextmanager
    def working(self, services: Sequence[str], each: int) -> Iterator[Mapping[str, Sequence[MeasuredProcess]]]:
        """Run `each` workers of each service until the block ends and yield them by service."""
        with ExitStack() as stack:
            processes = {name: [stack.enter_context(self._worker(name)) for _ in range(each)] for name in services}
            yield processes
            for process in chain.from_iterable(processes.values()):
                process.request_stop()  # all of them before the first wait

    @contextmanager
    def _worker(self, service: str) -> Iterator[MeasuredProcess]:
        health = free_port()
        environment = {**self._settings(service), "HEALTH_PORT": str(health)}
        ready = f"http://127.0.0.1:{health}/readyz"
        with self._running(service, "worker", environment, lambda: httpx.get(ready).status_code == 200) as process:
            yield process

    @contextmanager
    def _running(
        self, service: str, kind: str, environment: Mapping[str, str], ready: Any
    ) -> Iterator[MeasuredProcess]:
        log = self._folder / f"{service}-{kind}.log"
        with running([service, kind], {"BROKER_URL": self.broker.url, **environment}, log, ready) as process:
            yield process

    def _settings(self, service: str) -> Mapping[str, str]:
        unused_url = "http://127.0.0.1:9"
        for_stripe = {"STRIPE_API_KEY": "sk_test_bench", "STRIPE_API_BASE": unused_url, "LIVEMODE": "false"}
        own = {
            "checkout": for_stripe | {"INVENTORY_URL": unused_url, "SHOP_URL": unused_url},
            "orders": for_stripe,
            "notifications": {
                "SMTP_URL": f"smtp://127.0.0.1:{self._smtp_port}",
                "MAIL_FROM": "orders@clozit.example",
                "STAFF_EMAIL": "staff@clozit.example",
            },
        }
        tokens = {"SERVICE_TOKEN": TOKEN, "OPERATOR_TOKENS": f"bench:{TOKEN}"}
        return {"DATABASE_URL": self.urls[service], **tokens, **own.get(service, {})}

    def set_paused(self, service: str, paused: bool) -> None:
        """Stop a service's workers from taking messages, or let them continue, as an operator does."""
        database = Database(self.urls[service])
        with database.begin() as session:
            inbox.set_paused(session, paused, actor="bench", reason=None)
        database.dispose()

    def _fill_stock(self) -> None:
        with psycopg.connect(self.urls["inventory"]) as connection:
            connection.execute(
                "INSERT INTO stock_items (sku, on_hand, reserved) VALUES (%s, %s, 0)", (SKU, STOCK_PIECES)
            )

    def start_checkouts(self, first: int, count: int) -> None:
        """Write open checkouts with their outbox events and reservations, as for customers on Stripe's page."""
        now = utcnow()
        numbers = range(first, first + count)
        database = Database(self.urls["checkout"])
        with database.begin() as session:
            session.execute(insert(checkout.Checkout), [_checkout(number, now) for number in numbers])
            for number in numbers:
                outbox.add(
                    session, "checkout.checkout.started", _started(number, now), correlation_id=checkout_id(number)
                )
        database.dispose()
        database = Database(self.urls["inventory"])
        with database.begin() as session:
            until = now + timedelta(hours=1)
            held = [
                {"checkout_id": checkout_id(n), "status": inventory.HELD, "expires_at": until, "created_at": now}
                for n in numbers
            ]
            lines = [{"checkout_id": checkout_id(n), "sku": SKU, "quantity": QUANTITY, "missing": 0} for n in numbers]
            session.execute(insert(inventory.Reservation), held)
            session.execute(insert(inventory.ReservationLine), lines)
            stock = session.get_one(inventory.StockItem, SKU)
            stock.reserved += QUANTITY * count
        database.dispose()

    def mails(self) -> int:
        """Return how many e-mails the SMTP server has accepted."""
        with smtplib.SMTP("127.0.0.1", self._smtp_port) as client:
            return int(client.docmd("VRFY", "all")[1])


def _checkout(number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": checkout_id(number),
        "status": checkout.OPEN,
        "fingerprint": "bench",
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
        "check_at": now + timedelta(hours=2),
        "reserved_at": now,
        "currency": CURRENCY,
        **AMOUNTS,
        "lines": [{**LINE, "description": None, "image": None, "tax_code": None}],
        "customer_email": EMAIL,
        "success_url": "https://shop.example/success",
        "cancel_url": "https://shop.example/cancel",
        "automatic_tax": False,
        "session_id": session_id(number),
        "livemode": False,
    }


def _started(number: int, now: datetime) -> dict[str, Any]:
    return {
        "checkout_id": checkout_id(number),
        "session_id": session_id(number),
        "livemode": False,
        "currency": CURRENCY,
        **AMOUNTS,
        "customer_email": EMAIL,
        "locale": "en",
        "discount_code": None,
        "expires_at": now + timedelta(hours=1),
        "lines": [LINE],
    }
