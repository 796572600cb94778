"""All services as in production, on private servers, with a fake Stripe: web processes, and all workers."""

import json
import secrets
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
from events.testing.ports import free_port

from bench.processes import LOG_TAIL_CHARACTERS, ROOT, MeasuredProcess, inherited_environment, listens, running
from bench.servers import Broker, Databases
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports

WITH_DATABASE = ("checkout", "orders", "inventory", "notifications")
CATALOG = ROOT / "deploy" / "catalog.json"
SEEDED = ("checkout", "inventory")  # they load the catalog
STOCK_PIECES = 1_000_000  # of each product, so that no run sells out
COMMANDS = tuple((service, "web") for service in ("webhooks", *WITH_DATABASE)) + tuple(
    (service, "worker") for service in WITH_DATABASE
)


@dataclass(frozen=True)
class Service:
    """One running command of a service, with the port of its health and metrics."""

    process: MeasuredProcess
    health_port: int
    log: Path

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]


@dataclass(frozen=True)
class SoakSystem:
    """The running system. `databases` are URLs by service, `services` are the processes by name: `orders worker`."""

    broker: Broker
    server: Databases
    databases: Mapping[str, str]
    services: Mapping[str, Service]
    urls: Mapping[str, str]
    stripe: FakeStripe
    products: Mapping[str, int]  # prices in EUR cents by sku
    smtp_port: int

    def mails(self) -> int:
        """Return how many e-mails the SMTP server has accepted."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as client:
            return int(client.docmd("VRFY", "all")[1])


@contextmanager
def soak_system(broker: Broker, server: Databases, folder: Path) -> Iterator[SoakSystem]:
    """Start the services and yield them when all are ready. Logs and the catalog are written to `folder`."""
    with ExitStack() as stack:
        ports, smtp = Ports.find_free(), free_port()
        stack.enter_context(running(["bench.smtp_sink", str(smtp)], {}, folder / "smtp.log", lambda: listens(smtp)))
        secret = f"whsec_{secrets.token_hex(16)}"
        stripe = FakeStripe(webhooks=[(f"{ports.url('webhooks')}/webhooks/stripe", secret)])
        stack.enter_context(stripe)
        databases = {service: server.create_with_role(service) for service in WITH_DATABASE}
        settings = _settings(ports, databases, broker.url, stripe.url, smtp, secret)
        catalog = json.loads(CATALOG.read_text())
        catalog["products"] = [{**product, "stock": STOCK_PIECES} for product in catalog["products"]]
        (folder / "catalog.json").write_text(json.dumps(catalog))
        with ThreadPoolExecutor(len(WITH_DATABASE)) as together:
            list(together.map(lambda service: _run([service, "migrate"], settings[service]), WITH_DATABASE))
            seed = ["seed", str(folder / "catalog.json")]
            list(together.map(lambda service: _run([service, *seed], settings[service]), SEEDED))
        with ThreadPoolExecutor(len(COMMANDS)) as together:
            contexts = [_started(service, kind, settings[service], folder) for service, kind in COMMANDS]
            started = list(together.map(stack.enter_context, contexts))
        services = {" ".join(command): service for command, service in zip(COMMANDS, started, strict=True)}
        urls = {service: ports.url(service) for service in settings}
        prices = {product["sku"]: product["prices"]["eur"] for product in catalog["products"] if product["active"]}
        yield SoakSystem(broker, server, databases, services, urls, stripe, prices, smtp)
        for each in services.values():
            each.process.request_stop()  # all at once, before the first wait


@contextmanager
def _started(service: str, kind: str, settings: Mapping[str, str], folder: Path) -> Iterator[Service]:
    health = free_port()
    ready: Callable[[], bool] = lambda: httpx.get(f"http://127.0.0.1:{health}/readyz").status_code == 200  # noqa: E731
    environment = {**settings, "HEALTH_PORT": str(health), "MALLOC_ARENA_MAX": "2"}  # as in the image
    log = folder / f"{service}-{kind}.log"
    with running([service, kind], environment, log, ready) as process:
        yield Service(process, health, log)


def _run(command: list[str], settings: Mapping[str, str]) -> None:
    """Run one of a service's commands to its end. Raises `CalledProcessError`."""
    environment = {**inherited_environment(), **settings}
    subprocess.run([sys.executable, "-m", *command], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def _settings(
    ports: Ports, databases: Mapping[str, str], broker_url: str, stripe_url: str, smtp_port: int, secret: str
) -> Mapping[str, Mapping[str, str]]:
    shop_url = ports.url("shop")
    for_stripe = {"STRIPE_API_KEY": "sk_test_soak", "STRIPE_API_BASE": stripe_url, "LIVEMODE": "false"}
    for_inventory = {"SERVICE_TOKEN": secrets.token_hex(16)}
    own: Mapping[str, Mapping[str, str]] = {
        "checkout": {
            **for_stripe,
            **for_inventory,
            "INVENTORY_URL": ports.url("inventory"),
            "SHOP_URL": shop_url,
            "SHIPPING_COUNTRIES": "DE",
        },
        "webhooks": {"STRIPE_WEBHOOK_SECRETS": secret, "LIVEMODE": "false"},
        "orders": for_stripe,
        "inventory": for_inventory,
        "notifications": {
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "MAIL_FROM": "Clozit <orders@clozit.example>",
            "STAFF_EMAIL": "staff@clozit.example",
            "SHOP_URL": shop_url,
            "PUBLIC_URL": ports.url("notifications"),
            "UNSUBSCRIBE_SECRET": secrets.token_hex(16),
        },
    }
    token = secrets.token_hex(16)
    empty: Mapping[str, str] = MappingProxyType({})
    return {
        service: {
            "BROKER_URL": broker_url,
            "PORT": str(ports[service]),
            **({"DATABASE_URL": databases[service]} if service in databases else empty),
            **(empty if service == "webhooks" else {"OPERATOR_TOKENS": f"soak:{token}"}),
            **special,
        }
        for service, special in own.items()
    }
