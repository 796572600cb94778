"""The whole system for tests: every service's processes, started by their commands, configured by environment."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from events.testing import http
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until

from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.shop.mailbox import Mailbox
from demo.system import System

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "deploy" / "catalog.json"
WITH_DATABASE = ("checkout", "orders", "inventory", "notifications")
STOP_TIMEOUT_S = 15.0  # processes promise to stop within 10


class ServiceProcesses:
    """Processes by name, such as "orders worker". Tests stop, kill and restart them."""

    def __init__(self, environments: Mapping[str, Mapping[str, str]], folder: Path) -> None:
        self._environments, self._folder = environments, folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdogs: dict[str, ExitStack] = {}
        self._known: dict[str, tuple[str, str]] = {}

    def setting(self, service: str, name: str) -> str:
        """Return an environment variable of a service."""
        return self._environments[service][name]

    def run_command(self, service: str, *arguments: str, **environment: str) -> None:
        """Run one of a service's commands to its end. Raises `AssertionError` if it fails."""
        command = [sys.executable, "-m", service, *arguments]
        settings = {**self._environments[service], **environment}
        done = subprocess.run(command, env=settings, cwd=self._folder, check=False, capture_output=True)
        assert done.returncode == 0, f"{command} failed: {done.stderr.decode()}"

    def start(self, service: str, kind: str, *, entry_module: str | None = None, **environment: str) -> None:
        """Start a process by the service's command, or by `entry_module`, which gets service and kind as arguments."""
        name = f"{service} {kind}"
        self._known[name] = service, kind
        command = [entry_module, service, kind] if entry_module else [service, kind]
        with (self._folder / f"{service}-{kind}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self._environments[service], **environment},
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that granian's child processes are killed with it
            )
        self._watchdogs[name] = ExitStack()  # removes the process if the test run is killed
        self._watchdogs[name].enter_context(watch("process", str(self.running[name].pid), str(self._folder)))

    def start_stopped(self) -> None:
        """Start every process that a test has stopped."""
        for name, process in self._known.items():
            if name not in self.running:
                self.start(*process)

    def stop(self, service: str, kind: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to a process, wait until it has ended, and return its exit code."""
        process = self.running[f"{service} {kind}"]
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        return self.wait(service, kind)

    def has_ended(self, service: str, kind: str) -> bool:
        """Return True if a started process has ended."""
        return self.running[f"{service} {kind}"].poll() is not None

    def wait(self, service: str, kind: str) -> int:
        """Wait until a process has ended and return its exit code. Raises `TimeoutExpired`."""
        name = f"{service} {kind}"
        code = self.running[name].wait(STOP_TIMEOUT_S)
        del self.running[name]
        self._watchdogs.pop(name).close()
        return code

    def log(self, service: str, kind: str) -> str:
        """Return all that a process has logged."""
        return (self._folder / f"{service}-{kind}.log").read_text(errors="replace")

    def close(self) -> None:
        """Stop all processes; kill those that do not stop in time."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for watchdog in self._watchdogs.values():
            watchdog.close()


@dataclass(frozen=True)
class Installation:
    """The running system: its URLs and token, its fake Stripe and its processes."""

    system: System
    stripe: FakeStripe
    processes: ServiceProcesses


@contextmanager
def installation(
    folder: Path,
    new_database: Callable[[], str],
    broker_url: str,
    mailbox: Mailbox | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    only_web: Collection[str] = (),
) -> Iterator[Installation]:
    """Start the whole system and yield it when it is ready for a purchase. All services get `settings`.

    With `only_web`, start only the web processes of these services; checkout and inventory must be among them.
    """
    with ExitStack() as stack:
        ports = Ports.find_free()
        mailbox = mailbox or Mailbox(port=0)
        mailbox.start()
        stack.callback(mailbox.stop)
        secret, token = f"whsec_{secrets.token_hex(16)}", secrets.token_hex(16)
        stripe = FakeStripe(
            webhooks=[(f"{ports.url('webhooks')}/webhooks/stripe", secret)], webhook_backoff=(0.2, 0.5, 1, 2, 4, 8)
        )
        stack.enter_context(stripe)
        environments = _environments(ports, new_database, broker_url, stripe.url, mailbox.port, secret, token)
        if only_web:
            environments = {service: environments[service] for service in only_web}
        with_database = [service for service in WITH_DATABASE if service in environments]
        processes = ServiceProcesses({service: {**own, **settings} for service, own in environments.items()}, folder)
        stack.callback(processes.close)
        for service in with_database:
            processes.run_command(service, "migrate")
        for service in ("checkout", "inventory"):
            processes.run_command(service, "seed", str(CATALOG))
        for service in environments:
            processes.start(service, "web")
        for service in () if only_web else with_database:
            processes.start(service, "worker")
        urls = {service: ports.url(service) for service in environments}
        system = System(urls, token, stripe, mailbox)
        wait_until_ready(system)
        yield Installation(system, stripe, processes)


# All customers of these tests have one address, and some have one e-mail address.
NO_LIMITS = dict.fromkeys(
    (
        "MAX_OPEN_CHECKOUTS_PER_ADDRESS",
        "MAX_OPEN_PIECES_PER_ADDRESS",
        "MAX_OPEN_CHECKOUTS_PER_EMAIL",
        "MAX_OPEN_PIECES_PER_EMAIL",
    ),
    "0",
)


def wait_until_ready(system: System) -> None:
    """Wait until every service's web process is ready."""
    for url in system.urls.values():
        wait_until(lambda url=url: http.get(f"{url}/readyz").status_code == 200, what=url)  # type: ignore[misc]


def _environments(
    ports: Ports,
    new_database: Callable[[], str],
    broker_url: str,
    stripe_url: str,
    smtp_port: int,
    secret: str,
    token: str,
) -> dict[str, dict[str, str]]:
    shop_url = ports.url("shop")
    at_stripe = {"STRIPE_API_KEY": "sk_test_e2e", "STRIPE_API_BASE": stripe_url, "LIVEMODE": "false"}
    for_stripe = {**at_stripe, "ALLOWED_ORIGINS": shop_url}
    for_inventory = {"SERVICE_TOKEN": secrets.token_hex(16)}
    special = {
        "checkout": for_stripe
        | for_inventory
        | {
            "INVENTORY_URL": ports.url("inventory"),
            "SHOP_URL": shop_url,
            "ALLOW_PROMOTION_CODES": "true",
            "SHIPPING_COUNTRIES": "DE",
            **NO_LIMITS,
        },
        "webhooks": {"STRIPE_WEBHOOK_SECRETS": secret, "LIVEMODE": "false"},
        "orders": for_stripe,
        "inventory": for_inventory,
        "notifications": {
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "SMTP_ANSWER_TIMEOUT": "10",  # a killed sender's e-mail waits for so long, and the tests with it
            "MAIL_FROM": "Clozit <orders@clozit.example>",
            "STAFF_EMAIL": "staff@clozit.example",
            "ABANDONED_CART_DELAY": "2",
            "ABANDONED_CART_EMAILS": "all",
            "PUBLIC_URL": ports.url("notifications"),
            "UNSUBSCRIBE_SECRET": secrets.token_hex(16),
        },
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        service: {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "BROKER_URL": broker_url,
            "PORT": str(ports[service]),
            "OPERATOR_TOKENS": f"e2e:{token}",
            **({"DATABASE_URL": new_database()} if service in WITH_DATABASE else {}),
            **own,
        }
        for service, own in special.items()
    }
