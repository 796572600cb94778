"""The launcher behind `make dev`: runs one service on private servers and restarts it when its code changes.

Web and worker run as separate processes. PostgreSQL and RabbitMQ are started for this run only. If one of them is
missing, SQLite or a broker in memory replaces it. Stripe and the mail server are the demo's fakes. A setting from the
environment takes precedence, so `DATABASE_URL=… make dev SERVICE=orders` keeps its data.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import httpx
from events.testing.ports import free_port
from events.testing.servers.choice import private_postgres, private_rabbitmq
from events.testing.servers.server import Server, ServerStartError
from events.testing.servers.watchdog import watch as kill_if_orphaned
from events.testing.waiting import wait_until
from watchfiles import watch

from demo.fake_stripe.server import FakeStripe
from demo.ports import DEFAULTS
from demo.shop.mailbox import Mailbox

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "deploy" / "catalog.json"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
SEEDED = ("checkout", "inventory")  # services with the command `seed`, which loads the catalog
CALLS_STRIPE = ("checkout", "webhooks", "orders")  # services with the setting STRIPE_API_BASE
HEALTH_SETTINGS = ("PORT", "HEALTH_PORT")  # the ports on which web and worker answer /readyz
READY_TIMEOUT_S = 60.0  # a start takes two seconds
STOP_TIMEOUT_S = 15.0  # a worker stops within 10 seconds
WEBHOOK_SECRET = "whsec_of_development"
SETTINGS = {  # the same in every run, so that services in two terminals accept each other
    "LOG_LEVEL": "INFO",
    "OPERATOR_TOKENS": "dev:operator-token-of-dev",
    "SERVICE_TOKEN": "service-token-of-dev",
    "STRIPE_API_KEY": "sk_test_made_up",
    "STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
    "LIVEMODE": "false",
    "INVENTORY_URL": f"http://127.0.0.1:{DEFAULTS['inventory']}",
    "SHOP_URL": f"http://127.0.0.1:{DEFAULTS['shop']}",
    "MAIL_FROM": "Clozit <orders@clozit.example>",
    "STAFF_EMAIL": "staff@clozit.example",
}


class Processes:
    """The service's processes, which are started and stopped together: web and worker, or only web for webhooks."""

    def __init__(self, service: str, environment: Mapping[str, str], folder: Path) -> None:
        self._service, self._environment, self._folder = service, environment, folder
        self._commands = ("web",) if service == "webhooks" else ("web", "worker")
        self.ports = HEALTH_SETTINGS[: len(self._commands)]
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._watched = ExitStack()

    def prepare(self) -> None:
        """Migrate the database, if the service has one, and seed it for the services in `SEEDED`.

        Raises `CalledProcessError` if one of the two commands fails.
        """
        if self._service != "webhooks":
            subprocess.run(self._command("migrate"), env=self._environment, check=True)
        if self._service in SEEDED:
            subprocess.run(self._command("seed", str(CATALOG)), env=self._environment, check=True)

    def start(self) -> None:
        """Start the processes, each in a new POSIX session: Ctrl-C then reaches only the launcher, which stops them."""
        for name in self._commands:
            environment = dict(self._environment)
            if name == "web":
                environment["HEALTH_PORT"] = "0"  # the worker has that port
            process = subprocess.Popen(self._command(name), env=environment, start_new_session=True)
            self._watched.enter_context(kill_if_orphaned("process", str(process.pid), str(self._folder)))
            self._running[name] = process

    def stop(self) -> None:
        """Stop the processes and wait for them; kill those that do not end within `STOP_TIMEOUT_S`."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        self._watched.close()

    def take_ended(self) -> Mapping[str, int]:
        """Return the exit status of each process that ended since the last call."""
        ended = {name: status for name, process in self._running.items() if (status := process.poll()) is not None}
        for name in ended:
            del self._running[name]
        return ended

    def _command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", self._service, *arguments]


class Launcher:
    """Starts the processes, restarts them after a change, and prints e-mails and ended processes, until `stop` is set.

    After a failed preparation, every change prepares the database again.
    """

    def __init__(self, processes: Processes, urls: Sequence[str], mailbox: Mailbox, stop: threading.Event) -> None:
        self._processes, self._urls, self._mailbox, self._stop = processes, urls, mailbox, stop
        self._mails = 0
        self._is_prepared = False

    def run(self, folders: Sequence[Path]) -> None:
        """Start the processes, and restart them when a file in one of the folders changes, until `stop` is set."""
        self._start()
        for changes in watch(*folders, stop_event=self._stop, yield_on_timeout=True, rust_timeout=500):
            self._report()
            if changes:
                changed = sorted({Path(path) for _, path in changes})
                click.echo(f"Changed: {', '.join(str(path.relative_to(ROOT)) for path in changed)}. Restarting …")
                self._processes.stop()
                self._is_prepared &= not any("migrations" in path.parts for path in changed)
                self._start()

    def _start(self) -> None:
        began = time.monotonic()
        try:
            if not self._is_prepared:
                self._processes.prepare()
                self._is_prepared = True
        except subprocess.CalledProcessError as error:
            click.echo(f"{' '.join(error.cmd[2:4])} failed. Correct the code and save it to try again.", err=True)
            return
        self._processes.start()
        try:
            wait_until(lambda: self._stop.is_set() or self._report() or self._is_ready(), READY_TIMEOUT_S, "/readyz")
        except TimeoutError as error:
            click.echo(f"The service is not ready: {error}", err=True)
        else:
            if not self._stop.is_set() and self._is_ready():
                click.echo(f"Ready after {time.monotonic() - began:.1f} s: {self._urls[0]}")

    def _is_ready(self) -> bool:
        try:
            return all(httpx.get(f"{url}/readyz").status_code == 200 for url in self._urls)
        except httpx.TransportError:
            return False

    def _report(self) -> bool:
        """Print new e-mails and ended processes; return True if a process ended."""
        mails = self._mailbox.messages
        for mail in mails[self._mails :]:
            click.echo(f"E-mail to {', '.join(mail.to)}: {mail.subject}")
        self._mails = len(mails)
        ended = self._processes.take_ended()
        for name, status in ended.items():
            click.echo(
                f"The {name} process ended with status {status}. Correct the code and save it to restart the process.",
                err=True,
            )
        return bool(ended)


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
def main(service: str) -> None:
    """Run one service until Ctrl-C and restart it when its code changes."""
    stop = threading.Event()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="clozit-dev-")))
        mailbox = Mailbox()
        mailbox.start()
        stack.callback(mailbox.stop)
        environment = stack.enter_context(_environment(service, folder, mailbox))
        processes = Processes(service, environment, folder)
        stack.callback(processes.stop)
        urls = [f"http://127.0.0.1:{environment[port]}" for port in processes.ports]
        click.echo(_welcome(service, urls, environment))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        Launcher(processes, urls, mailbox, stop).run(
            [ROOT / "services" / service / service, ROOT / "libs" / "events" / "events"]
        )
        click.echo("\nStopping …")
    click.echo("Stopped.")


@contextmanager
def _environment(service: str, folder: Path, mailbox: Mailbox) -> Iterator[Mapping[str, str]]:
    """Yield the service's environment. The servers that it names run until the end of the block."""
    with ExitStack() as stack:
        made = {
            **SETTINGS,
            "PORT": str(DEFAULTS[service]),
            "HEALTH_PORT": str(free_port()),
            "SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
        }
        made |= os.environ
        if "BROKER_URL" not in made:
            made["BROKER_URL"] = _server(stack, private_rabbitmq, "memory://")
        if "DATABASE_URL" not in made and service != "webhooks":
            made["DATABASE_URL"] = _server(stack, private_postgres, f"sqlite:///{folder / service}.db")
        if "STRIPE_API_BASE" not in made and service in CALLS_STRIPE:
            webhooks = [(f"http://127.0.0.1:{made['PORT']}/webhooks/stripe", WEBHOOK_SECRET)]
            stripe = stack.enter_context(FakeStripe(webhooks=webhooks if service == "webhooks" else []))
            made["STRIPE_API_BASE"] = stripe.url
        yield made


def _server(stack: ExitStack, private: Callable[[], AbstractContextManager[Server]], otherwise: str) -> str:
    """Return the URL of a private server that runs until the stack closes, or `otherwise` without such a server."""
    try:
        return stack.enter_context(private()).url
    except ServerStartError as reason:
        click.echo(f"Using {otherwise} instead of a server: {reason}", err=True)
        return otherwise


def _welcome(service: str, urls: Sequence[str], environment: Mapping[str, str]) -> str:
    _, _, token = environment["OPERATOR_TOKENS"].partition(":")
    has_worker = len(urls) > 1
    lines = {
        "Web": f"{urls[0]} (documentation: {urls[0]}/openapi.json)",
        "Worker": f"{urls[1]}/readyz" if has_worker else "",
        "Operator": f"Authorization: Bearer {token}" if has_worker else "",
        "Database": environment.get("DATABASE_URL", "") if has_worker else "",
        "Broker": environment["BROKER_URL"],
        "Stripe": environment.get("STRIPE_API_BASE", ""),
    }
    listed = "\n".join(f"  {name:10}{text}" for name, text in lines.items() if text)
    return f"\n{service} restarts when its code or the library's changes. Ctrl-C stops it.\n\n{listed}\n"


if __name__ == "__main__":
    main()
