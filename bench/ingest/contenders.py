"""The contenders: how each is started, and how its accepted posts are counted afterwards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from events.messaging import topology
from events.testing.ports import free_port

from bench.ingest import direct
from bench.processes import MeasuredProcess, listens, running
from bench.purchases import COMPLETED
from bench.servers import Broker, Databases

SECRET = "whsec_bench"
PROCESSES = 2  # per contender: one for each of two cores
GUNICORN = {"workers": PROCESSES, "threads": 16}  # threads, because a request mostly waits
PINNED_OPTIONS = ("--config", "python:bench.ingest.pinned")
QUEUES = topology.queues_for(f"stripe.{COMPLETED}")


@dataclass(frozen=True)
class Contender:
    """One solution to measure. `count_stored` returns the number of stored posts by place (queue or table).

    `connections` is the number of the load's connections, 48 or 96, with which it reaches the highest rate. With
    `may_repeat` it may store more than it accepted: kombu publishes again when a confirm is late.
    """

    name: str
    title: str
    start: Callable[[], Iterator[tuple[int, MeasuredProcess]]]
    count_stored: Callable[[], Mapping[str, int]]
    connections: int = 48
    may_repeat: bool = False

    @contextmanager
    def serving(self) -> Iterator[tuple[int, MeasuredProcess]]:
        """Run the contender until the block ends and yield its port and process."""
        yield from self.start()


def contenders(broker: Broker, databases: Databases, folder: Path) -> Sequence[Contender]:
    """Return the contenders of all rows that have a web server. Their processes log to `folder`."""

    def count_queued() -> Mapping[str, int]:
        depths = broker.depths()
        return {f"queue {name}": depths[name] for name in QUEUES}

    def clozit(*options: str) -> Iterator[tuple[int, MeasuredProcess]]:
        port = free_port()
        environment = {
            "PORT": str(port),
            "BROKER_URL": broker.url,
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "LIVEMODE": "false",
        }
        command = ["webhooks", "web", "--workers", str(PROCESSES), *options]
        with running(command, environment, folder / "clozit.log", lambda: _ready(port)) as process:
            yield port, process

    def plain(*options: str) -> Iterator[tuple[int, MeasuredProcess]]:
        environment = {"BROKER_URL": broker.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        yield from _gunicorn("bench.ingest.plain", environment, folder, *options)

    database_url = ""

    def without_broker() -> Iterator[tuple[int, MeasuredProcess]]:
        nonlocal database_url
        database_url = databases.create("bench_direct")
        direct.prepare(database_url)
        with ExitStack() as stack:
            smtp = free_port()
            stack.enter_context(running(["bench.smtp_sink", str(smtp)], {}, folder / "smtp.log", lambda: listens(smtp)))
            environment = {
                "DATABASE_URL": database_url.replace("postgresql://", "postgresql+psycopg://"),
                "STRIPE_WEBHOOK_SECRET": SECRET,
                "SMTP_PORT": str(smtp),
                "THREADS": str(GUNICORN["threads"]),
            }
            yield from _gunicorn("bench.ingest.direct", environment, folder)

    def count_written() -> Mapping[str, int]:
        return direct.count_written(database_url)

    def bare() -> Iterator[tuple[int, MeasuredProcess]]:
        port = free_port()
        command = ["bench.ingest.bare", str(port), str(PROCESSES)]
        with running(command, {}, folder / "bare.log", lambda: listens(port)) as process:
            yield port, process

    return (
        Contender("clozit", "Clozit's ingest", partial(clozit, "--pin"), count_queued, 96),
        Contender("unpinned", "Clozit's ingest without --pin", clozit, count_queued, 96),
        Contender("plain", "(a) Flask, gunicorn, construct_event, kombu", plain, count_queued, may_repeat=True),
        Contender(
            "plain pinned",
            "(a) with its processes pinned too",
            partial(plain, *PINNED_OPTIONS),
            count_queued,
            may_repeat=True,
        ),
        Contender("direct", "(b) no broker: order, stock and e-mail in the request", without_broker, count_written),
        Contender("bare", "(c) limit: granian and Flask, nothing published", bare, dict),
    )


def _gunicorn(
    module: str, environment: Mapping[str, str], folder: Path, *options: str
) -> Iterator[tuple[int, MeasuredProcess]]:
    port = free_port()
    command = ["gunicorn", f"{module}:create_app()", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    command += ["--keep-alive", "60", "--log-level", "warning", *options]
    command += [part for name, value in GUNICORN.items() for part in (f"--{name}", str(value))]
    log = folder / f"{module}.log"
    with running(command, environment, log, lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code == 404) as one:
        yield port, one


def _ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
