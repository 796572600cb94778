"""Measures each contender at its most and at a steady rate, and what the machine allows at all."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.ingest.contenders import SECRET, Contender
from bench.load import Plan, Shots, fire
from bench.posts import Posts
from bench.processes import ROOT, Measured
from bench.purchases import COMPLETED, templates
from bench.servers import Broker

STEADY_CONNECTIONS = 100
MOST = 6000  # posts per second that nobody here reaches: so many are signed for each second
WARM_UP = 300  # posts


@dataclass(frozen=True)
class Figures:
    """Rates per second; p50 and p99 in seconds; `cpu` seconds per event; `peak` bytes of resident memory."""

    rate: float
    p50: float
    p99: float
    cpu: float
    peak: int
    generator: float = 0.0


class Wrong(Exception):  # noqa: N818 - what the contender did
    """A contender refused posts, or did not do what it had accepted."""


class Range:
    """Fires numbered posts, each number once, so that no contender is spared work by a repeat."""

    def __init__(self) -> None:
        self._template = templates()[COMPLETED]
        self._next = 1

    def fire(
        self, port: int, count: int, connections: int, *, seconds: float | None = None, rate: float | None = None
    ) -> Shots:
        posts = Posts([self._template], SECRET, self._next, count)
        self._next += count
        return fire(Plan(port, posts, connections, seconds, rate))


def at_most(contender: Contender, broker: Broker, seconds: float, repeat: int) -> Figures:
    """The median run, by rate, of `repeat` ones as fast as it answers. Raises `Wrong`."""
    return _median([_run(contender, broker, seconds, None) for _ in range(repeat)])


def steadily(contender: Contender, broker: Broker, seconds: float, rate: float, repeat: int) -> Figures:
    """The same at a steady rate, by p99."""
    runs = sorted((_run(contender, broker, seconds, rate) for _ in range(repeat)), key=lambda run: run.p99)
    return runs[len(runs) // 2]


def _run(contender: Contender, broker: Broker, seconds: float, rate: float | None) -> Figures:
    broker.purge()
    shooting = Range()
    with contender.serving() as (port, process):
        warm = shooting.fire(port, WARM_UP, contender.connections)
        before = process.cpu()
        count = int(seconds * (rate or MOST))
        connections = STEADY_CONNECTIONS if rate else contender.connections
        shots = shooting.fire(port, count, connections, seconds=None if rate else seconds, rate=rate)
        used = process.cpu() - before
        figures = _figures(shots, used, process)
        accepted_by(contender, warm, shots)
    return figures


def _figures(shots: Shots, used: float, process: Measured) -> Figures:
    return Figures(
        shots.rate, shots.percentile(0.5), shots.percentile(0.99), used / shots.accepted, process.peak(), shots.busy
    )


def accepted_by(contender: Contender, *runs: Shots) -> int:
    """How many posts it accepted since it started. Raises `Wrong` if it refused, lost or doubled one."""
    refused = [run.statuses for run in runs if set(run.statuses) != {200}]
    if refused:
        raise Wrong(f"{contender.name} answered {refused}")
    accepted = sum(run.accepted for run in runs)
    kept = contender.kept().items()
    if wrong := {place: n for place, n in kept if n < accepted or (n > accepted and not contender.repeats)}:
        raise Wrong(f"{contender.name} accepted {accepted} posts, but there are {wrong}")
    return accepted


def _median(runs: Sequence[Figures]) -> Figures:
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]


def publishing(broker: Broker, count: int, repeat: int) -> Figures:
    """Limit (c): the publisher without HTTP."""
    return _median([_publish(broker, count) for _ in range(repeat)])


def _publish(broker: Broker, count: int) -> Figures:
    broker.purge()
    command = [sys.executable, "-m", "bench.ingest.publishing", str(count)]
    environment = {**os.environ, "BROKER_URL": broker.url}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603 - ours
    return Figures(**json.loads(done.stdout))
