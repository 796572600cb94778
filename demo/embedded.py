"""The embedded system: all services in one process, with SQLite databases in files and a broker in memory."""

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from json import loads
from pathlib import Path
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
from events.config import Common
from events.database.engine import Database
from events.database.migrations import Chain, migrate
from events.messaging.worker import Worker
from events.observability.logging import configure_logging
from events.web.origins import parse_origins
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.shop.app import ShopConfig, create_shop
from demo.shop.mailbox import Mailbox
from demo.system import System

CATALOG = Path(__file__).parent.parent / "deploy" / "catalog.json"
BROKER_URL = "memory://"
STRIPE_API_BASE = "https://api.stripe.com"
SHIPPING_COUNTRIES = ("DE", "AT", "CH", "FR", "GB", "JP", "US")
ABANDONED_CART_DELAY = timedelta(seconds=2)  # short enough to watch in a demo; an hour in production


@dataclass(frozen=True)
class StripeAccount:
    """A real Stripe account instead of the fake: a test key, and the secret that `stripe listen` prints."""

    api_key: str
    webhook_secret: str


@contextmanager
def embedded_system(
    folder: Path, ports: Ports, account: StripeAccount | None = None, **changes: Mapping[str, Any]
) -> Iterator[System]:
    """Run the system within the block, with its databases in `folder`. Without an account, it uses the fake Stripe.

    `changes` are settings that differ from the demo's, by service: `orders={"radar_holds": False}`.
    """
    with ExitStack() as stack:
        mailbox = Mailbox(port=ports["smtp"])
        mailbox.start()
        stack.callback(mailbox.stop)
        secret = account.webhook_secret if account else f"whsec_{secrets.token_hex(16)}"
        webhooks_url = f"{ports.url('webhooks')}/webhooks/stripe"
        stripe = FakeStripe(port=ports["stripe"], webhooks=[] if account else [(webhooks_url, secret)])
        api_key, api_base = (account.api_key, STRIPE_API_BASE) if account else ("sk_test_demo", stripe.url)
        configs = create_configs(folder, ports, mailbox.port, secret, api_key, api_base)
        configs |= {service: replace(configs[service], **settings) for service, settings in changes.items()}
        databases = {name: Database(config.database_url) for name, config in configs.items() if config.database_url}
        _migrate_and_seed(databases)
        for database in databases.values():
            stack.callback(database.dispose)
        for name, app in _applications(configs, databases).items():
            stack.enter_context(_serving(app, ports[name]))
        shop = create_shop(
            ShopConfig(
                checkout_url=ports.url("checkout"),
                orders_url=ports.url("orders"),
                inventory_url=ports.url("inventory"),
                operator_url=ports.url("orders"),
                shipping_options=loads(CATALOG.read_text("utf-8"))["shipping_options"],
            ),
            mailbox,
        )
        stack.enter_context(_serving(shop, ports["shop"]))
        for worker in _workers(configs, databases):
            worker.start()
            stack.callback(worker.stop)
        stack.enter_context(stripe)
        configure_logging("demo", os.environ.get("LOG_LEVEL", "ERROR"))
        urls = {name: ports.url(name) for name in configs}
        yield System(urls, configs["orders"].operator_tokens["demo"], stripe, mailbox)


def create_configs(
    folder: Path, ports: Ports, smtp_port: int, secret: str, api_key: str, api_base: str
) -> dict[str, Any]:
    """Return each service's settings, with new tokens for this run."""
    operators = {"demo": secrets.token_hex(16)}
    service_token = secrets.token_hex(16)
    shop = ports.url("shop")
    origins = [
        shop,
        shop.replace("127.0.0.1", "localhost"),
        *parse_origins(os.environ.get("ALLOWED_ORIGINS", "")),
    ]

    def base(name: str, *, database: bool = True) -> Mapping[str, Any]:
        url = f"sqlite:///{folder / name}.db" if database else ""
        shared = {"operator_tokens": operators, "service_token": service_token, "broker_url": BROKER_URL}
        return {"service": name, "port": ports[name], "database_url": url, "log_level": "ERROR", **shared}

    at_stripe: dict[str, Any] = {"stripe_api_key": api_key, "stripe_api_base": api_base, "livemode": False}
    return {
        "inventory": inventory.config.Config(**base("inventory"), allowed_origins=origins),
        "checkout": checkout.config.Config(
            **base("checkout"),
            **at_stripe,
            inventory_url=ports.url("inventory"),
            shop_url=shop,
            allowed_origins=origins,
            shipping_countries=SHIPPING_COUNTRIES,
            collect_phone=True,
            allow_promotion_codes=True,
        ),
        "webhooks": webhooks.config.Config(
            **base("webhooks", database=False), webhook_secrets=[secret], livemode=False
        ),
        "orders": orders.config.Config(**base("orders"), **at_stripe, allowed_origins=origins),
        "notifications": notifications.config.Config(
            **base("notifications"),
            smtp_url=f"smtp://127.0.0.1:{smtp_port}",
            mail_from="Clozit <orders@clozit.example>",
            staff_email="staff@clozit.example",
            shop_url=shop,
            public_url=ports.url("notifications"),
            unsubscribe_secret=secrets.token_hex(16),
            abandoned_cart_emails="all",
            abandoned_cart_delay=ABANDONED_CART_DELAY,
        ),
    }


def _migrate_and_seed(databases: Mapping[str, Database]) -> None:
    catalog = loads(CATALOG.read_text("utf-8"))
    chains: dict[str, Sequence[Chain]] = {
        "checkout": checkout.chains.CHAINS,
        "orders": orders.chains.CHAINS,
        "inventory": inventory.chains.CHAINS,
        "notifications": notifications.chains.CHAINS,
    }
    for name, database in databases.items():
        migrate(database, chains[name])
    checkout.catalog.seed(databases["checkout"], catalog)
    inventory.ledger.seed(databases["inventory"], catalog)


def _applications(configs: Mapping[str, Any], databases: Mapping[str, Database]) -> dict[str, Flask]:
    with_database: dict[str, Callable[..., Flask]] = {
        "inventory": inventory.app.create_app,
        "checkout": checkout.app.create_app,
        "orders": orders.app.create_app,
        "notifications": notifications.app.create_app,
    }
    apps = {name: create(configs[name], database=databases[name]) for name, create in with_database.items()}
    return {**apps, "webhooks": webhooks.app.create_app(configs["webhooks"])}


def _workers(configs: Mapping[str, Common], databases: Mapping[str, Database]) -> list[Worker]:
    creators: dict[str, Callable[..., Worker]] = {
        "inventory": inventory.worker.create_worker,
        "checkout": checkout.worker.create_worker,
        "orders": orders.worker.create_worker,
        "notifications": notifications.worker.create_worker,
    }
    return [create(configs[name], database=databases[name]) for name, create in creators.items()]


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: Any) -> None:
        """Log nothing: the services log their requests themselves."""


@contextmanager
def _serving(app: Flask, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
