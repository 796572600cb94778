"""The measurements of the ingest: each contender's maximum, a steady rate, and the limit of the publisher."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.ingest.contenders import SECRET, Contender
from bench.load import LoadPlan, LoadResult, run_load
from bench.posts import Posts
from bench.processes import ROOT, MeasuredProcess
from bench.purchases import COMPLETED, templates
from bench.servers import Broker

STEADY_CONNECTIONS = 100
RATE_CEILING = 6000  # posts per second: above every contender's rate; so many posts are signed beforehand
WARM_UP_POSTS = 300


@dataclass(frozen=True)
class Figures:
    """The figures of one run. `rate` is in posts per second, `cpu_s` in seconds per event."""

    rate: float
    p50_s: float
    p99_s: float
    cpu_s: float
    peak_bytes: int
    generator_share: float = 0.0  # of one core; 0 without a load generator


class MeasurementError(Exception):
    """A measured system refused posts, or lost or duplicated accepted ones."""


class NumberedLoad:
    """A load that uses each number once, so that no contender saves work on a repeated event."""

    def __init__(self) -> None:
        self._template = templates()[COMPLETED]
        self._next = 1

    def run(
        self, port: int, count: int, connections: int, *, seconds: float | None = None, rate: float | None = None
    ) -> LoadResult:
        """Post `count` events, or as many of them as `seconds` allow, at `rate` posts per second or at the maximum."""
        posts = Posts([self._template], SECRET, self._next, count)
        self._next += count
        return run_load(LoadPlan(port, posts, connections, seconds, rate))


def measure_maximum(contender: Contender, broker: Broker, seconds: float, repeat: int) -> Figures:
    """Return the median by rate of `repeat` runs, each as fast as the contender answers. Raises `MeasurementError`."""
    return _median([_run(contender, broker, seconds, None) for _ in range(repeat)])


def measure_steady(contender: Contender, broker: Broker, seconds: float, rate: float, repeat: int) -> Figures:
    """Return the median by p99 of `repeat` runs at a steady rate. Raises `MeasurementError`."""
    runs = sorted((_run(contender, broker, seconds, rate) for _ in range(repeat)), key=lambda run: run.p99_s)
    return runs[len(runs) // 2]


def _run(contender: Contender, broker: Broker, seconds: float, rate: float | None) -> Figures:
    broker.purge()
    load = NumberedLoad()
    with contender.serving() as (port, process):
        warm_up = load.run(port, WARM_UP_POSTS, contender.connections)
        cpu_before_s = process.cpu_s()
        count = int(seconds * (rate or RATE_CEILING))
        connections = STEADY_CONNECTIONS if rate else contender.connections
        result = load.run(port, count, connections, seconds=None if rate else seconds, rate=rate)
        cpu_s = process.cpu_s() - cpu_before_s
        figures = _figures(result, cpu_s, process)
        count_accepted(contender, warm_up, result)
    return figures


def _figures(result: LoadResult, cpu_s: float, process: MeasuredProcess) -> Figures:
    return Figures(
        result.rate,
        result.percentile_s(0.5),
        result.percentile_s(0.99),
        cpu_s / result.accepted,
        process.peak_bytes(),
        result.generator_share,
    )


def count_accepted(contender: Contender, *runs: LoadResult) -> int:
    """Return how many posts the contender has accepted since it started.

    Raises `MeasurementError` if it refused, lost or duplicated one.
    """
    refused = [run.statuses for run in runs if set(run.statuses) != {200}]
    if refused:
        raise MeasurementError(f"{contender.name} answered {refused}")
    accepted = sum(run.accepted for run in runs)
    stored = contender.count_stored().items()
    if wrong := {place: n for place, n in stored if n < accepted or (n > accepted and not contender.may_repeat)}:
        raise MeasurementError(f"{contender.name} accepted {accepted} posts, but stored {wrong}")
    return accepted


def _median(runs: Sequence[Figures]) -> Figures:
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]


def measure_publisher(broker: Broker, count: int, repeat: int) -> Figures:
    """Return the median by rate of `repeat` runs of limit (c), the publisher without HTTP."""
    return _median([_publish(broker, count) for _ in range(repeat)])


def _publish(broker: Broker, count: int) -> Figures:
    broker.purge()
    command = [sys.executable, "-m", "bench.ingest.publishing", str(count)]
    environment = {**os.environ, "BROKER_URL": broker.url}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603 - ours
    return Figures(**json.loads(done.stdout))
