"""Who is measured: how each is started, and what must be there for every post that it has accepted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from events.messaging import topology
from events.testing.servers import free_port

from bench.ingest import direct
from bench.processes import Measured, listens, running
from bench.purchases import COMPLETED
from bench.servers import Broker, Databases

SECRET = "whsec_bench"
PROCESSES = 2  # of each contender: one for each of two cores
GUNICORN = {"workers": PROCESSES, "threads": 16}  # threads, since a request mostly waits
PINNED = ("--config", "python:bench.ingest.pinned")
QUEUES = topology.queues_for(f"stripe.{COMPLETED}")


@dataclass(frozen=True)
class Contender:
    """`kept` counts what stands for accepted posts, in every place where it must.

    `connections`: with how many of the load's, 48 or 96, it does the most. `repeats`: it may do more than it accepted,
    as kombu does, which publishes again when a confirm is late.
    """

    name: str
    title: str
    start: Callable[[], "Iterator[tuple[int, Measured]]"]
    kept: Callable[[], Mapping[str, int]]
    connections: int = 48
    repeats: bool = False

    @contextmanager
    def serving(self) -> Iterator[tuple[int, Measured]]:
        yield from self.start()


def contenders(broker: Broker, databases: Databases, folder: Path) -> Sequence[Contender]:
    def queued() -> Mapping[str, int]:
        depths = broker.depths()
        return {f"queue {name}": depths[name] for name in QUEUES}

    def ours(*options: str) -> Iterator[tuple[int, Measured]]:
        port = free_port()
        environment = {
            "PORT": str(port),
            "BROKER_URL": broker.url,
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "LIVEMODE": "false",
        }
        command = ["webhooks", "web", "--workers", str(PROCESSES), *options]
        with running(command, environment, folder / "ours.log", lambda: _ready(port)) as process:
            yield port, process

    def plain(*options: str) -> Iterator[tuple[int, Measured]]:
        environment = {"BROKER_URL": broker.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        yield from _gunicorn("bench.ingest.plain", environment, folder, *options)

    database_url = ""

    def without_broker() -> Iterator[tuple[int, Measured]]:
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

    def written() -> Mapping[str, int]:
        return direct.written(database_url)

    def bare() -> Iterator[tuple[int, Measured]]:
        port = free_port()
        command = ["bench.ingest.bare", str(port), str(PROCESSES)]
        with running(command, {}, folder / "bare.log", lambda: listens(port)) as process:
            yield port, process

    return (
        Contender("ours", "Clozit's ingest", partial(ours, "--pin"), queued, 96),
        Contender("unpinned", "Clozit's ingest without --pin", ours, queued, 96),
        Contender("plain", "(a) Flask, gunicorn, construct_event, kombu", plain, queued, repeats=True),
        Contender("plain pinned", "(a) with its processes pinned too", partial(plain, *PINNED), queued, repeats=True),
        Contender("direct", "(b) no broker: order, stock and mail in the request", without_broker, written),
        Contender("bare", "(c) limit: granian and Flask, nothing published", bare, dict),
    )


def _gunicorn(
    module: str, environment: Mapping[str, str], folder: Path, *options: str
) -> Iterator[tuple[int, Measured]]:
    port = free_port()
    command = ["gunicorn", f"{module}:create_app()", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"]
    command += ["--keep-alive", "60", "--log-level", "warning", *options]
    command += [part for name, value in GUNICORN.items() for part in (f"--{name}", str(value))]
    log = folder / f"{module}.log"
    with running(command, environment, log, lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code == 404) as one:
        yield port, one


def _ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
