"""The pipeline's report: tables of each service on its full queue, of all together, and at a steady rate."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from events.testing.ports import free_port

from bench import report
from bench.options import Options
from bench.pipeline.measure import Drain, Pipeline, Throughput
from bench.pipeline.system import SERVICES, System
from bench.processes import listens, running
from bench.servers import Broker, Databases, servers

WORKERS = (1, 2, 4)  # per service
STEADY_RATE = 200.0  # Stripe's events per second
DRAIN_AIM = 1000  # events per second of one consumer process


def run(options: Options) -> None:
    """Measure, print and write the tables. Raises `MeasurementError`."""
    with servers() as (broker, databases), tempfile.TemporaryDirectory(prefix="clozit-bench-") as folder:
        machine = report.machine(broker.version(), databases.settings())
        with bench_system(broker, databases, Path(folder)) as system:
            pipeline = Pipeline(system)
            drains = pipeline.measure_drains(options.purchases)
            throughputs = [pipeline.measure_throughput(workers, options.purchases) for workers in WORKERS]
            latencies = pipeline.measure_latencies(STEADY_RATE, options.purchases)
            pipeline.check()
    report.publish("pipeline.md", _text(machine, drains, throughputs, latencies, pipeline.purchases), options)


@contextmanager
def bench_system(broker: Broker, databases: Databases, folder: Path) -> Iterator[System]:
    """Yield the services on new databases, with a mail server."""
    smtp = free_port()
    with running(["bench.smtp_sink", str(smtp)], {}, folder / "smtp.log", lambda: listens(smtp)):
        yield System(broker, databases, folder, smtp)


def _text(
    machine: str,
    drains: Sequence[Drain],
    throughputs: Sequence[Throughput],
    latencies: Mapping[str, Sequence[float]],
    purchases: int,
) -> str:
    return "\n\n".join(
        [
            "# Pipeline",
            machine,
            f"{purchases} purchases by card. At the end, each had one paid order, one payment, one sale, one e-mail.",
            f"One process on its full queue, with all other services stopped (aim: {DRAIN_AIM} events/s):",
            report.table(
                ("service", "events", "events/s", "own CPU µs/event"),
                [[one.service, f"{one.events}", f"{one.rate:.0f}", f"{one.cpu_s * 1e6:.0f}"] for one in drains],
            ),
            "All services together, with ingest, broker, database, mail server and load on the same cores:",
            report.table(
                (
                    "workers per service",
                    "Stripe's events",
                    "events/s, post to last commit",
                    *(f"{n} CPU µs" for n in SERVICES),
                ),
                [_throughput_row(one) for one in throughputs],
            ),
            f"From post to commit at a steady {STEADY_RATE:g} events/s, with one worker per service:",
            report.table(
                ("service", "p50 ms", "p99 ms"),
                [[name, _percentile(found, 0.5), _percentile(found, 0.99)] for name, found in latencies.items()],
            ),
        ]
    )


def _throughput_row(one: Throughput) -> list[str]:
    return [f"{one.workers}", f"{one.posts}", f"{one.rate:.0f}", *(f"{one.cpu_s[name] * 1e6:.0f}" for name in SERVICES)]


def _percentile(ordered: Sequence[float], share: float) -> str:
    return report.milliseconds(ordered[min(len(ordered) - 1, int(len(ordered) * share))])
