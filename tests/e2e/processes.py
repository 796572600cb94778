"""The real thing for tests: every service's processes, by their own commands and the environment alone."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx
from events.testing.servers import wait_until
from events.testing.servers.watchdog import watch

from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.shop.mailbox import Mailbox
from demo.system import System

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "deploy" / "catalog.json"
WITH_DATABASE = ("checkout", "orders", "inventory", "notifications")


class Fleet:
    """Processes by name, such as "orders worker", to be stopped, killed and started again by tests."""

    def __init__(self, environments: Mapping[str, Mapping[str, str]], folder: Path) -> None:
        self._environments, self._folder = environments, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watched: dict[str, ExitStack] = {}
        self._known: dict[str, tuple[str, str]] = {}

    def setting(self, service: str, name: str) -> str:
        return self._environments[service][name]

    def command(self, service: str, *arguments: str, **environment: str) -> None:
        """Run one of a service's commands to its end. Raises when it fails."""
        command = [sys.executable, "-m", service, *arguments]
        settings = {**self._environments[service], **environment}
        done = subprocess.run(command, env=settings, cwd=self._folder, check=False, capture_output=True)
        assert done.returncode == 0, f"{command} failed: {done.stderr.decode()}"

    def start(self, service: str, kind: str, *, through: str | None = None, **environment: str) -> None:
        """Start a process by the service's own command, or `through` a module that is given service and kind."""
        name = f"{service} {kind}"
        self._known[name] = service, kind
        command = [through, service, kind] if through else [service, kind]
        with (self._folder / f"{service}-{kind}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self._environments[service], **environment},
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,  # granian's own processes die with it
            )
        self._watched[name] = ExitStack()  # a run that is killed from outside leaves none of them
        self._watched[name].enter_context(watch("process", str(self.processes[name].pid), str(self._folder)))

    def start_missing(self) -> None:
        """Start again what has been ended."""
        for name, process in self._known.items():
            if name not in self.processes:
                self.start(*process)

    def signal(self, service: str, kind: str, number: signal.Signals) -> int:
        """Send a signal to a process and wait for its end; the exit code."""
        process = self.processes[f"{service} {kind}"]
        if number == signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        return self.wait(service, kind)

    def has_ended(self, service: str, kind: str) -> bool:
        return self.processes[f"{service} {kind}"].poll() is not None

    def wait(self, service: str, kind: str, within: float = 15) -> int:
        """Wait for the end of a process; its exit code. Raises `TimeoutExpired`."""
        name = f"{service} {kind}"
        code = self.processes[name].wait(within)
        del self.processes[name]
        self._watched.pop(name).close()
        return code

    def log(self, service: str, kind: str) -> str:
        return (self._folder / f"{service}-{kind}.log").read_text(errors="replace")

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for watched in self._watched.values():
            watched.close()


@contextmanager
def fleet(
    folder: Path,
    new_database: Callable[[], str],
    broker_url: str,
    mailbox: Mailbox | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[System, Fleet]]:
    """The whole system in processes of its own, ready for a purchase; `settings` are for all of them."""
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
        processes = Fleet({service: {**own, **settings} for service, own in environments.items()}, folder)
        stack.callback(processes.close)
        for service in WITH_DATABASE:
            processes.command(service, "migrate")
        for service in ("checkout", "inventory"):
            processes.command(service, "seed", str(CATALOGUE))
        for service in environments:
            processes.start(service, "web")
        for service in WITH_DATABASE:
            processes.start(service, "worker")
        urls = {service: ports.url(service) for service in environments}
        system = System(urls, token, stripe, mailbox)
        wait_until_ready(system)
        yield system, processes


def wait_until_ready(system: System) -> None:
    """For every service's web process."""
    for url in system.urls.values():
        wait_until(lambda url=url: httpx.get(f"{url}/readyz").status_code == 200, what=url)  # type: ignore[misc]


def _environments(
    ports: Ports,
    new_database: Callable[[], str],
    broker_url: str,
    stripe_url: str,
    smtp_port: int,
    secret: str,
    token: str,
) -> dict[str, dict[str, str]]:
    shop = ports.url("shop")
    at_stripe = {"STRIPE_API_KEY": "sk_test_e2e", "STRIPE_API_BASE": stripe_url, "ALLOWED_ORIGINS": shop}
    between = {"SERVICE_TOKEN": secrets.token_hex(16)}
    special = {
        "checkout": at_stripe | between | {"INVENTORY_URL": ports.url("inventory"), "SHOP_URL": shop},
        "webhooks": {"STRIPE_WEBHOOK_SECRETS": secret, "LIVEMODE": "false"},
        "orders": at_stripe,
        "inventory": between,
        "notifications": {
            "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
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
