"""The pipeline's tables."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from events.testing.servers import free_port

from bench import report
from bench.options import Options
from bench.pipeline.measure import Drain, Pipeline, Together
from bench.pipeline.system import SERVICES, System
from bench.processes import listens, running
from bench.servers import Broker, Databases, servers

WORKERS = (1, 2, 4)  # of each service
STEADY_RATE = 200.0  # Stripe's events per second
AIM = 1000  # events per second and consumer process


def run(options: Options) -> None:
    """Measure, print and write. Raises `Wrong` when a purchase has not had every effect once."""
    with servers() as (broker, databases), tempfile.TemporaryDirectory(prefix="clozit-bench-") as folder:
        machine = report.machine(broker.version(), databases.settings())
        with bench_system(broker, databases, Path(folder)) as system:
            pipeline = Pipeline(system)
            drains = pipeline.drain(options.purchases)
            together = [pipeline.together(workers, options.purchases) for workers in WORKERS]
            latencies = pipeline.trickle(STEADY_RATE, options.purchases)
            pipeline.check()
    report.publish("pipeline.md", _text(machine, drains, together, latencies, pipeline.purchases), options)


@contextmanager
def bench_system(broker: Broker, databases: Databases, folder: Path) -> Iterator[System]:
    """The services on fresh databases, with a mail server."""
    smtp = free_port()
    with running(["bench.smtp_sink", str(smtp)], {}, folder / "smtp.log", lambda: listens(smtp)):
        yield System(broker, databases, folder, smtp)


def _text(
    machine: str,
    drains: Sequence[Drain],
    together: Sequence[Together],
    latencies: Mapping[str, Sequence[float]],
    purchases: int,
) -> str:
    return "\n\n".join(
        [
            "# Pipeline",
            machine,
            f"{purchases} purchases by card; each had one paid order, one payment, one sale, one mail at the end.",
            f"One process of one service on its full queue, nobody else at work (aim: {AIM} events/s):",
            report.table(
                ("service", "events", "events/s", "own CPU µs/event"),
                [[one.service, f"{one.events}", f"{one.rate:.0f}", f"{one.cpu * 1e6:.0f}"] for one in drains],
            ),
            "Everything on these cores: ingest, broker, database, mail, load, and so many workers of each service:",
            report.table(
                (
                    "workers each",
                    "Stripe's events",
                    "events/s, post to last commit",
                    *(f"{n} CPU µs" for n in SERVICES),
                ),
                [_together(one) for one in together],
            ),
            f"From post to commit at a steady {STEADY_RATE:g} events/s, one worker each:",
            report.table(
                ("service", "p50 ms", "p99 ms"),
                [[name, _percentile(found, 0.5), _percentile(found, 0.99)] for name, found in latencies.items()],
            ),
        ]
    )


def _together(one: Together) -> list[str]:
    return [f"{one.workers}", f"{one.posts}", f"{one.rate:.0f}", *(f"{one.cpu[name] * 1e6:.0f}" for name in SERVICES)]


def _percentile(ordered: Sequence[float], share: float) -> str:
    return report.milliseconds(ordered[min(len(ordered) - 1, int(len(ordered) * share))])
