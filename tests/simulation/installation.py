"""The services as they are wired for a simulation. Applications are built once and workers for each world."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import checkout.app
import checkout.catalog
import checkout.chains
import checkout.config
import checkout.worker
import inventory.app
import inventory.chains
import inventory.config
import inventory.ledger
import inventory.worker
import notifications.app
import notifications.chains
import notifications.config
import notifications.worker
import orders.app
import orders.chains
import orders.config
import orders.worker
import webhooks.app
import webhooks.config
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout, DiscountUse
from checkout.stripe_sessions import StripeSessions
from events import stripe_api
from events.database.engine import Database
from events.database.migrations import migrate
from events.messaging.inbox_models import InboxEvent
from events.messaging.worker import Worker
from flask import Flask, request
from inventory.models import Reservation
from notifications.models import Email
from orders.models.disputes import Dispute
from orders.models.orders import Order
from orders.models.payments import Payment
from orders.models.refunds import Refund, RefundRequest
from orders.refunds.gateway import RefundGateway
from sqlalchemy.event import listen

from tests.simulation.outside import (
    STRIPE_URL,
    Broker,
    Inline,
    Seat,
    ServiceTransport,
    StripeClient,
    WorldDatabase,
    WorldMailServer,
)

SERVICE_TOKEN = "service-token-of-simulations"
OPERATORS = {"zoe": "operator-token-of-zoe", "max": "operator-token-of-max"}
WEBHOOK_SECRET = "whsec_simulated"
API_KEY = "sk_test_simulated"
STAFF = "staff@clozit.example"
CHAINS = {
    "checkout": checkout.chains.CHAINS,
    "orders": orders.chains.CHAINS,
    "inventory": inventory.chains.CHAINS,
    "notifications": notifications.chains.CHAINS,
}
STATUSES: tuple[tuple[Any, str], ...] = (
    (Checkout, "status"),
    (Checkout, "payment_status"),
    (DiscountUse, "status"),
    (Reservation, "status"),
    (Order, "status"),
    (Order, "refund_status"),
    (Order, "dispute_status"),
    (Order, "fulfillment_status"),
    (Payment, "status"),
    (Refund, "status"),
    (RefundRequest, "status"),
    (Dispute, "status"),
    (InboxEvent, "status"),
    (Email, "status"),
)
STOCK = {"TEE": 12, "MUG": 5, "COAT": 2, "LAST": 1}
CATALOG: dict[str, Any] = {
    "products": [
        {"sku": sku, "group": "G", "name": f"The {sku.lower()}", "prices": {"eur": price}, "stock": STOCK[sku]}
        for sku, price in (("TEE", 1999), ("MUG", 1250), ("COAT", 28_900), ("LAST", 4999))
    ],
    "discounts": [
        {"code": "TEN", "percent_off": 10, "limit_per_email": 1},
        {"code": "ONCE", "percent_off": 20, "limit_total": 1},
        {"code": "GIFT", "percent_off": 100},
    ],
    "shipping_options": [
        {"id": "standard", "name": "Standard", "amounts": {"eur": 490}, "min_days": 3, "max_days": 5},
        {"id": "express", "name": "Express", "amounts": {"eur": 1290}, "min_days": 1, "max_days": 2},
    ],
}


class Installation:
    """All services of one shop. `seat` names the world in which they work."""

    def __init__(self) -> None:
        self.seat = Seat()
        self.databases = {service: WorldDatabase(service, self.seat) for service in CHAINS}
        self._templates = {service: _template(service) for service in CHAINS}
        self.broker = Broker(self.seat)
        http = StripeClient(self.seat)
        self.sessions = StripeSessions(API_KEY, STRIPE_URL, http_client=http, retries=0)
        self.stripe = stripe_api.client(API_KEY, STRIPE_URL, retries=0, http_client=http)
        self.gateway = RefundGateway(self.stripe)
        self._configs = _configs()
        self.apps: dict[str, Flask] = {
            "webhooks": webhooks.app.create_app(self._configs["webhooks"], self.broker),
            "inventory": inventory.app.create_app(self._configs["inventory"], database=self.databases["inventory"]),
            "notifications": notifications.app.create_app(
                self._configs["notifications"], database=self.databases["notifications"]
            ),
            "orders": orders.app.create_app(
                self._configs["orders"], database=self.databases["orders"], gateway=self.gateway
            ),
        }
        transport = ServiceTransport(
            self.seat, "inventory web", self.apps["inventory"], "inventory answer lost", "inventory unreachable"
        )
        self.inventory = InventoryClient("http://inventory.test", SERVICE_TOKEN, transport)
        self.apps["checkout"] = checkout.app.create_app(
            self._configs["checkout"],
            database=self.databases["checkout"],
            stripe=self.sessions,
            inventory=self.inventory,
        )
        self.webhook_transport = ServiceTransport(
            self.seat, "webhooks web", self.apps["webhooks"], "webhook answer lost"
        )

        for service, app in self.apps.items():
            app.before_request(partial(self._count_route, service))
        for model, column in STATUSES:
            listen(getattr(model, column), "set", partial(self._count_change, f"{model.__tablename__}.{column}"))

    def _count_route(self, service: str) -> None:
        self.seat.world.visits[f"route {service} {request.method} {request.url_rule}"] += 1

    def _count_change(self, name: str, _row: object, value: object, before: object, _initiator: object) -> None:
        if isinstance(before, str) and before != value:
            self.seat.world.visits[f"status {name} {before} → {value}"] += 1

    def reset(self) -> None:
        """Give every service a new database."""
        for service, database in self.databases.items():
            _copy(self._templates[service], database)

    def build_worker(self, service: str) -> Worker:
        """Return a new worker of a service, as at the start of its process."""
        config, database = self._configs[service], self.databases[service]
        mail_server = WorldMailServer("mail.test", 25)
        object.__setattr__(mail_server, "seat", self.seat)
        makers: Mapping[str, Callable[[], Worker]] = {
            "checkout": lambda: checkout.worker.create_worker(
                config, database=database, stripe=self.sessions, inventory=self.inventory, broker=self.broker
            ),
            "orders": lambda: orders.worker.create_worker(
                config, database=database, gateway=self.gateway, broker=self.broker
            ),
            "inventory": lambda: inventory.worker.create_worker(config, database=database, broker=self.broker),
            "notifications": lambda: notifications.worker.create_worker(config, database=database, server=mail_server),
        }
        worker = makers[service]()
        worker.consumer.background = Inline(service)
        return worker


def _template(service: str) -> Database:
    database = Database("sqlite://")
    migrate(database, CHAINS[service])
    if service == "checkout":
        checkout.catalog.seed(database, CATALOG)
    if service == "inventory":
        inventory.ledger.seed(database, CATALOG)
    return database


def _copy(template: Database, database: Database) -> None:
    source, target = template.engine.raw_connection(), database.engine.raw_connection()
    try:
        source.driver_connection.backup(target.driver_connection)  # type: ignore[union-attr]
    finally:
        source.close()
        target.close()


def _configs() -> dict[str, Any]:
    base: dict[str, Any] = {"port": 0, "broker_url": "memory://", "log_level": "CRITICAL"}
    operated: dict[str, Any] = {**base, "database_url": "", "operator_tokens": OPERATORS}
    at_stripe: dict[str, Any] = {"stripe_api_key": API_KEY, "stripe_api_base": STRIPE_URL}
    return {
        "checkout": checkout.config.Config(
            service="checkout",
            **operated,
            **at_stripe,
            service_token=SERVICE_TOKEN,
            inventory_url="http://inventory.test",
            shop_url="https://shop.test",
            shipping_countries=("DE",),
            max_open_checkouts_per_address=0,
            max_open_pieces_per_address=0,
        ),
        "orders": orders.config.Config(service="orders", **operated, **at_stripe),
        "inventory": inventory.config.Config(
            service="inventory", **operated, service_token=SERVICE_TOKEN, low_stock_threshold=1
        ),
        "notifications": notifications.config.Config(
            service="notifications",
            **operated,
            smtp_url="smtp://mail.test:25",
            mail_from="Clozit <orders@clozit.example>",
            staff_email=STAFF,
            shop_url="https://shop.test",
            public_url="https://shop.test",
            unsubscribe_secret="unsubscribe-secret-of-simulations",
            abandoned_cart_emails="all",
            abandoned_cart_delay=timedelta(hours=1),
        ),
        "webhooks": webhooks.config.Config(
            service="webhooks", **base, webhook_secrets=[WEBHOOK_SECRET], livemode=False
        ),
    }
