"""A rig whose processes run either release, and customers who buy all the time."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType

from events.database.engine import Database
from events.database.migrations import migrate
from events.messaging import topology
from events.testing import http
from events.testing.waiting import wait_until
from sqlalchemy import text

from tests.e2e.processes import WITH_DATABASE
from tests.faults.auditor import Auditor
from tests.faults.customers import SKU, Customers
from tests.faults.rig import Rig, create_database
from tests.upgrade.previous import PreviousRelease

TODAY = ""  # the PYTHONPATH of today's release: it is installed
# The order of docs/operations.md.
PROCESSES = (("webhooks", "web"), *((service, kind) for service in WITH_DATABASE for kind in ("web", "worker")))
RATE = 1.0  # purchases per second, each with six of Stripe's events and a dozen of our own
SUPERVISION_S = 0.5  # between two looks at the processes

STOCK_PIECES = 1_000_000  # no run sells out
MORE_STOCK = (
    "UPDATE stock_items SET on_hand = on_hand + :pieces WHERE sku = :sku",
    "UPDATE movements SET delta = delta + :pieces WHERE sku = :sku AND kind = 'opening'",
)
DESCRIPTIONS = {
    "columns": "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public'",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraints": "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}


@dataclass
class Rollout(Rig):
    """The running system. Each process runs the code of a PYTHONPATH, and can be replaced by another."""

    mail_lease_s: str = ""  # no sender is killed

    def __post_init__(self) -> None:
        """Create the auditor, and stock for all customers by SQL: today's code cannot write to yesterday's tables."""
        self.auditor = Auditor(self.databases, lambda: dict(self.mail_counter.counts), self.queued_routing_keys)
        self.restarts: Counter[str] = Counter()
        self._python_paths: dict[str, str] = {}  # of the processes that were replaced
        self._changing = threading.Lock()
        with self.databases["inventory"].begin() as session:
            for statement in MORE_STOCK:
                session.execute(text(statement), {"sku": SKU, "pieces": STOCK_PIECES})

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Start processes again that end by themselves, as Compose and Kubernetes do.

        On a busy machine a worker may find no broker within its timeout at start, and then exits.
        """
        is_over = threading.Event()
        thread = threading.Thread(target=self._supervise, args=(is_over,), name="supervisor", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _supervise(self, is_over: threading.Event) -> None:
        while not is_over.wait(SUPERVISION_S):
            with self._changing:
                for name in list(self.processes.running):
                    service, kind = name.split()
                    if self.processes.has_ended(service, kind):
                        self.restarts[name] += 1
                        self.processes.wait(service, kind)
                        self._start(service, kind)

    def _start(self, service: str, kind: str) -> None:
        path = self._python_paths.get(f"{service} {kind}")
        self.processes.start(service, kind, **({} if path is None else {"PYTHONPATH": path}))

    def migrate(self) -> None:
        """Migrate all databases and declare the topology by today's release."""
        for service in WITH_DATABASE:
            self.processes.run_command(service, "migrate", PYTHONPATH=TODAY)
        self.processes.run_command("webhooks", "declare-topology", PYTHONPATH=TODAY)

    def replace(self, service: str, kind: str, python_path: str, *, probe: str = "/readyz") -> None:
        """Stop a process in the usual way, and start it with the code of `python_path`.

        Wait until a web process answers 200 to `probe`, or until a worker consumes.
        """
        with self._changing:
            code = self.processes.stop(service, kind)
            self._python_paths[f"{service} {kind}"] = python_path
            self._start(service, kind)
        assert code == 0, f"{service} {kind} did not stop cleanly"
        if kind == "web":
            url = f"{self.system.urls[service]}{probe}"
            wait_until(lambda: http.get(url).status_code == 200, what=url)
        else:
            wait_until(lambda: 0 not in self.consumer_counts(), what=f"a consumer in each of {list(topology.BINDINGS)}")

    def tables_of_today(self, service: str, release: PreviousRelease) -> Mapping[str, Sequence[str]]:
        """Return the tables that today's code makes of the revisions that an earlier release has, too."""
        database = Database(create_database(self.postgres.url, service))
        for chain in import_module(f"{service}.chains").CHAINS:
            migrate(database, [chain], release.newest_revision(chain))
        found = tables_of(database)
        database.dispose()
        return found

    def code_of(self, service: str, python_path: str) -> str:
        """Return the file that a service's commands run with this PYTHONPATH."""
        return subprocess.run(
            [sys.executable, "-c", f"import {service}, events; print({service}.__file__, events.__file__)"],
            env={"PYTHONPATH": python_path},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


def tables_of(database: Database) -> Mapping[str, Sequence[str]]:
    """Return PostgreSQL's own description of all columns, indexes, constraints and triggers."""
    with database.read() as session:
        return {kind: sorted(map(str, session.execute(text(query)))) for kind, query in DESCRIPTIONS.items()}


class SteadyCustomers(Customers):
    """Customers who start `RATE` purchases per second while the context is entered."""

    checkout_timeout_s = 600.0  # each web process is away while it is replaced; a real service has replicas

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, count=0, pause_s=0.0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._start_purchases, name="customers", daemon=True)

    def __enter__(self) -> "SteadyCustomers":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> "SteadyCustomers":
        """Let no new customer come, and send those away who have not asked for a checkout yet."""
        self._is_over.set()
        self._thread.join()
        self._purchases = [purchase for purchase in self._purchases if not purchase.cancel()]
        return self

    def wait_for_purchases(self, count: int, within: float) -> None:
        """Wait until `count` more purchases are paid."""
        wanted = self.paid() + count
        wait_until(lambda: self.paid() >= wanted, within, f"{count} purchases", progress=self.paid)

    def paid(self) -> int:
        """Return how many purchases are paid. Raises a customer's error."""
        done = [purchase for purchase in self._purchases if purchase.done()]
        for purchase in done:
            purchase.result()
        return len(done)

    def _start_purchases(self) -> None:
        while not self._is_over.wait(1 / RATE):
            self._purchases.append(self._pool.submit(self._buy, 0))
