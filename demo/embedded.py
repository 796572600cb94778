"""The whole system in one process: every service's web and worker, an SQLite file each, the bus in memory."""

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
import checkout.config
import checkout.models
import checkout.worker
import inventory.app
import inventory.config
import inventory.ledger
import inventory.models
import inventory.worker
import notifications.app
import notifications.config
import notifications.models
import notifications.worker
import orders.app
import orders.config
import orders.models
import orders.worker
import webhooks.app
import webhooks.config
from events.config import Common
from events.database.engine import Database
from events.database.migrations import Chain, migrate
from events.messaging.worker import Worker
from events.observability.logging import configure_logging
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from demo.fake_stripe import FakeStripe
from demo.ports import Ports
from demo.shop.app import ShopConfig, create_shop
from demo.shop.mailbox import Mailbox
from demo.system import System

CATALOGUE = Path(__file__).parent.parent / "deploy" / "catalog.json"
BROKER = "memory://"
SHIPPING_COUNTRIES = ("DE", "AT", "CH", "FR", "GB", "JP", "US")
ABANDONED_AFTER = timedelta(seconds=2)  # a demo's visitor does not wait an hour for the reminder


@dataclass(frozen=True)
class RealStripe:
    """One's own Stripe account in place of the fake: a test key, and the secret that `stripe listen` prints."""

    api_key: str
    webhook_secret: str


@contextmanager
def running(folder: Path, ports: Ports, real: RealStripe | None = None) -> Iterator[System]:
    """The system, up within the block. State is kept in `folder`."""
    with ExitStack() as stack:
        mailbox = Mailbox(port=ports.smtp)
        mailbox.start()
        stack.callback(mailbox.stop)
        secret = real.webhook_secret if real else f"whsec_{secrets.token_hex(16)}"
        webhooks_url = f"{ports.url('webhooks')}/webhooks/stripe"
        stripe = FakeStripe(port=ports.stripe, webhooks=[] if real else [(webhooks_url, secret)])
        configs = _configs(folder, ports, mailbox.port, secret, real or RealStripe("sk_test_demo", ""), stripe.url)
        if real:
            configs = _at_stripe(configs)
        databases = {name: Database(config.database_url) for name, config in configs.items() if config.database_url}
        _prepare(databases)
        for database in databases.values():
            stack.callback(database.dispose)
        for name, app in _applications(configs, databases).items():
            stack.enter_context(_served(app, ports.of(name)))
        shop = create_shop(
            ShopConfig(
                checkout_url=ports.url("checkout"),
                orders_url=ports.url("orders"),
                inventory_url=ports.url("inventory"),
                operator_url=ports.url("orders"),
                shipping_options=loads(CATALOGUE.read_text("utf-8"))["shipping_options"],
            ),
            mailbox,
        )
        stack.enter_context(_served(shop, ports.of("shop")))
        for worker in _workers(configs, databases):
            worker.start()
            stack.callback(worker.stop)
        stack.enter_context(stripe)
        configure_logging("demo", os.environ.get("LOG_LEVEL", "ERROR"))
        urls = {name: ports.url(name) for name in configs}
        yield System(urls, configs["orders"].operator_tokens["demo"], stripe, mailbox)


def _configs(
    folder: Path, ports: Ports, smtp_port: int, secret: str, stripe: RealStripe, stripe_url: str
) -> dict[str, Any]:
    """What the environment would say, made up for one run."""
    operators = {"demo": secrets.token_hex(16)}
    service_token = secrets.token_hex(16)
    shop = ports.url("shop")
    origins = [
        shop,
        shop.replace("127.0.0.1", "localhost"),
        *filter(None, os.environ.get("ALLOWED_ORIGINS", "").split(",")),
    ]

    def base(name: str, *, database: bool = True) -> Mapping[str, Any]:
        url = f"sqlite:///{folder / name}.db" if database else ""
        shared = {"operator_tokens": operators, "service_token": service_token, "broker_url": BROKER}
        return {"service": name, "port": ports.of(name), "database_url": url, "log_level": "ERROR", **shared}

    at_stripe: dict[str, Any] = {"stripe_api_key": stripe.api_key, "stripe_api_base": stripe_url}
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
            abandoned_cart_delay=ABANDONED_AFTER,
        ),
    }


def _at_stripe(configs: dict[str, Any]) -> dict[str, Any]:
    base = "https://api.stripe.com"
    return {
        name: replace(config, stripe_api_base=base) if hasattr(config, "stripe_api_base") else config
        for name, config in configs.items()
    }


def _prepare(databases: Mapping[str, Database]) -> None:
    catalogue = loads(CATALOGUE.read_text("utf-8"))
    chains: dict[str, Sequence[Chain]] = {
        "checkout": checkout.models.CHAINS,
        "orders": orders.models.CHAINS,
        "inventory": inventory.models.CHAINS,
        "notifications": notifications.models.CHAINS,
    }
    for name, database in databases.items():
        migrate(database, chains[name])
    checkout.catalog.seed(databases["checkout"], catalogue)
    inventory.ledger.seed(databases["inventory"], catalogue)


def _applications(configs: Mapping[str, Any], databases: Mapping[str, Database]) -> dict[str, Flask]:
    with_database: dict[str, Callable[..., Flask]] = {
        "inventory": inventory.app.create_app,
        "checkout": checkout.app.create_app,
        "orders": orders.app.create_app,
        "notifications": notifications.app.create_app,
    }
    made = {name: create(configs[name], database=databases[name]) for name, create in with_database.items()}
    return {**made, "webhooks": webhooks.app.create_app(configs["webhooks"])}


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
        """The services log their requests themselves."""


@contextmanager
def _served(app: Flask, port: int) -> Iterator[None]:
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
