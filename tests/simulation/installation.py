"""The services as they are wired for a simulation. Applications are built once and workers for each world."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

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
import orjson
import webhooks.app
import webhooks.config
from checkout.inventory_client import InventoryClient
from checkout.models import Checkout, DiscountUse
from checkout.stripe_sessions import StripeSessions
from events import stripe_api
from events.database.engine import Database
from events.database.migrations import migrate
from events.messaging.event import Event
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
from sqlalchemy import MetaData, inspect, select, text
from sqlalchemy.event import listen
from sqlalchemy.orm import Session
from webhooks.middleware import PATH as WEBHOOK_PATH

from demo.fake_stripe.account import Account
from demo.fake_stripe.account import Config as StripeConfig
from demo.fake_stripe.app import create_app as create_stripe
from demo.fake_stripe.objects.catalog import coupon, promotion_code, tax_rate
from tests.simulation import properties
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

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
VAT = {"id": "txr_simulated"}
PROMOTION_CODES = {"PROMO15": 15, "PROMO100": 100}  # Stripe's own, which the customer types on the payment page
STOCK = {"TEE": 12, "MUG": 5, "COAT": 2, "LAST": 1}
TAXED = ("MUG", "COAT")  # with a fixed rate at Stripe, which is added to the price
CATALOG: dict[str, Any] = {
    "products": [
        {"sku": sku, "group": "G", "name": f"The {sku.lower()}", "prices": {"eur": price}, "stock": STOCK[sku]}
        | ({"tax_rates": [VAT["id"]]} if sku in TAXED else {})
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
    """All services of one shop. `seat` holds the world in which they work.

    Their databases are in memory, unless `urls` has one for each service.
    """

    def __init__(self, urls: Mapping[str, str] | None = None) -> None:
        self.seat = Seat()
        self._urls = urls or dict.fromkeys(CHAINS, "sqlite://")
        self.databases = {service: WorldDatabase(service, self.seat, url) for service, url in self._urls.items()}
        self._templates = {service: _template(service) for service in CHAINS}
        self._account = Account(StripeConfig(), STRIPE_URL)
        self.stripe_http = create_stripe(self._account).test_client()
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
            if service != "webhooks":
                app.before_request(lambda service=service: self._count_route(service, request.method, request.url_rule))
        wsgi = self.apps["webhooks"].wsgi_app
        self.apps["webhooks"].wsgi_app = partial(self._observe_webhook, wsgi)  # type: ignore[method-assign]
        for model, column in STATUSES:
            listen(getattr(model, column), "set", partial(self._count_change, f"{model.__tablename__}.{column}"))

    def _count_route(self, service: str, method: str, rule: object) -> None:
        name = f"route {service} {method} {rule}"
        self.seat.world.visits[name] += 1
        self.seat.world.doing.append(name)

    def _observe_webhook(
        self, wsgi: "WSGIApplication", environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request around all middleware, and check that the broker has confirmed the event of a 200."""
        self._count_route("webhooks", environ["REQUEST_METHOD"], environ["PATH_INFO"])
        statuses: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            statuses.append(status)
            return start_response(status, headers, *exc_info)

        body = b"".join(wsgi(environ, start))
        if environ["PATH_INFO"] == WEBHOOK_PATH and statuses[-1].startswith("200"):
            properties.check_confirmed(self.seat.world, orjson.loads(body)["event_id"])
        return [body]

    def _count_change(self, name: str, _row: object, value: object, before: object, _initiator: object) -> None:
        if isinstance(before, str) and before != value:
            self.seat.world.visits[f"status {name} {before} → {value}"] += 1

    def reset(self) -> None:
        """Give every service the data of a new installation."""
        for service, database in self.databases.items():
            database.begin_world()
            if database.is_postgresql:
                _copy_rows(self._templates[service], database)
            else:
                _copy(self._templates[service], database)

    def open_account(self, config: StripeConfig) -> Account:
        """Empty the account at Stripe, add a tax rate and promotion codes, and return it. Its API is `stripe_http`.

        All worlds use one account object, one after another: to build the API's routes takes longer than many worlds.
        """
        account = self._account
        account.__init__(config, STRIPE_URL)  # type: ignore[misc]
        account.stopping.set()  # nothing waits in real time
        account.store.add(tax_rate(account.now(), {"display_name": "VAT", "inclusive": False, "percentage": 19}) | VAT)
        for code, percent_off in PROMOTION_CODES.items():
            account.store.add(coupon(account.now(), {"id": code, "percent_off": percent_off}))
            promotion = {"promotion": {"type": "coupon", "coupon": code}, "code": code}
            account.store.add(promotion_code(account.now(), promotion))
        return account

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
        runner = worker.consumer._runner
        runner._retry = partial(self._observe_retry, runner._retry)  # type: ignore[method-assign]
        return worker

    def _observe_retry(self, retry: Callable[..., str], session: Session, row: InboxEvent, event: Event) -> str:
        """Retry an event, and check that it is claimed for this attempt."""
        properties.check_claimed(self.seat.world, row)
        return retry(session, row, event)


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


def _copy_rows(template: Database, database: Database) -> None:
    """Replace all rows of a migrated database on PostgreSQL by those of a template."""
    names = [name for name in inspect(template.engine).get_table_names() if not name.startswith("alembic_version")]
    tables = MetaData()
    tables.reflect(database.engine, only=names)
    listed = ", ".join(f'"{name}"' for name in names)
    with template.engine.connect() as source, database.engine.begin() as target:
        target.execute(text(f"TRUNCATE {listed} RESTART IDENTITY CASCADE"))
        for table in tables.sorted_tables:
            if rows := [dict(row._mapping) for row in source.execute(select(table))]:
                target.execute(table.insert(), rows)


def _configs() -> dict[str, Any]:
    base: dict[str, Any] = {"port": 0, "broker_url": "memory://", "log_level": "CRITICAL"}
    operated: dict[str, Any] = {**base, "database_url": "", "operator_tokens": OPERATORS}
    at_stripe: dict[str, Any] = {"stripe_api_key": API_KEY, "stripe_api_base": STRIPE_URL, "livemode": False}
    return {
        "checkout": checkout.config.Config(
            service="checkout",
            **operated,
            **at_stripe,
            service_token=SERVICE_TOKEN,
            inventory_url="http://inventory.test",
            shop_url="https://shop.test",
            shipping_countries=("DE",),
            allow_promotion_codes=True,
            delayed_payment_days=1,  # so that a payment under way can outlive its stock
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
