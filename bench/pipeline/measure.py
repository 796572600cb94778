"""The measurements of the pipeline: one process on a full queue, all services together, and a steady rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.testing.waiting import wait_until

from bench.ingest.measure import MeasurementError
from bench.load import LoadPlan, run_load
from bench.pipeline import commits
from bench.pipeline.system import SECRET, SERVICES, System
from bench.posts import Posts
from bench.processes import MeasuredProcess
from bench.purchases import POSTED, checkout_id, templates

CONNECTIONS = 24
DRAIN_TIMEOUT_S = 120.0
STARTED = ("checkout.checkout.started",)


@dataclass(frozen=True)
class Drain:
    """The figures of one worker on its full queue. `rate` is in events per second, `cpu_s` its CPU time per event."""

    service: str
    events: int
    rate: float
    cpu_s: float


@dataclass(frozen=True)
class Throughput:
    """The figures of all services together. `rate` is Stripe's events per second, from first post to last commit.

    `cpu_s` is each service's CPU time per event, in seconds.
    """

    workers: int
    posts: int
    rate: float
    cpu_s: Mapping[str, float]


class Pipeline:
    """All measurements of one system. Purchases have numbers from 1 on, and each is measured once."""

    def __init__(self, system: System) -> None:
        self._system = system
        templated = templates()
        self._templates = [templated[kind] for kind in POSTED]
        self._next = 1
        self.purchases = 0

    def measure_drains(self, purchases: int) -> Sequence[Drain]:
        """Fill the queues while no worker runs; then measure one worker of one service after another."""
        first = self._start(purchases)
        with self._system.serving() as (port, _):
            self._post(port, first, purchases, None)
        return [self._drain(service, first, purchases) for service in SERVICES]

    def measure_throughput(self, workers: int, purchases: int) -> Throughput:
        """Measure the ingest together with this number of workers of each service."""
        first = self._start(purchases)
        with self._system.working(SERVICES, workers) as processes, self._system.serving() as (port, _):
            before = {name: _cpu_s(processes[name]) for name in SERVICES}
            began_at = self._post(port, first, purchases, None)
            self._wait_for_all()
            cpu_s = {name: _cpu_s(processes[name]) - before[name] for name in SERVICES}
        last = max(max(commits.commit_times(self._system, name, first, purchases).values()) for name in SERVICES)
        posts = purchases * len(POSTED)
        events = {name: purchases * len(commits.ROUTING_KEYS[name]) for name in SERVICES}
        cpu_per_event = {name: cpu_s[name] / events[name] for name in SERVICES}
        return Throughput(workers, posts, posts / (last - began_at), cpu_per_event)

    def measure_latencies(self, rate: float, purchases: int) -> Mapping[str, Sequence[float]]:
        """Return the sorted seconds from when a post was due to its commit, by service, with one worker of each."""
        first = self._start(purchases)
        with self._system.working(SERVICES, 1), self._system.serving() as (port, _):
            began_at = self._post(port, first, purchases, rate)
            self._wait_for_all()
        return {name: self._latencies(name, first, purchases, began_at, rate) for name in SERVICES}

    def check(self) -> None:
        """Raise `MeasurementError` unless every purchase has had every effect once."""
        system = self._system
        with system.working(["notifications"], 1):  # the events are handled sooner than their e-mails are sent
            wait_until(lambda: system.mails() >= self.purchases, DRAIN_TIMEOUT_S, "the last e-mail")
        wrong = {what: count for what, count in commits.count_effects(system).items() if count != self.purchases}
        if wrong or commits.count_unhandled(system):
            unhandled = commits.count_unhandled(system)
            raise MeasurementError(f"{self.purchases} purchases, but {wrong}; {unhandled} events are not handled")

    def _start(self, purchases: int) -> int:
        """Start checkouts and open their orders, so that only the payment is measured. Return the first number."""
        first, self._next = self._next, self._next + purchases
        self.purchases += purchases
        self._system.start_checkouts(first, purchases)
        with self._system.working(("checkout", "orders"), 1):
            wait_until(
                lambda: commits.count_handled(self._system, "orders", STARTED) == self.purchases,
                DRAIN_TIMEOUT_S,
                "the opening of all orders",
            )
        return first

    def _post(self, port: int, first: int, purchases: int, rate: float | None) -> float:
        """Post all events of these purchases and return when the first post was due, in Unix time."""
        posts = Posts(self._templates, SECRET, first, purchases * len(self._templates))
        result = run_load(LoadPlan(port, posts, CONNECTIONS, rate=rate))
        if set(result.statuses) != {200}:
            raise MeasurementError(f"the ingest answered {result.statuses}")
        return result.began_at

    def _drain(self, service: str, first: int, purchases: int) -> Drain:
        self._system.set_paused(service, True)  # until its process has started: that is not measured
        with self._system.working([service], 1) as processes:
            [process] = processes[service]
            cpu_before_s = process.cpu_s()
            self._system.set_paused(service, False)
            self._wait_for(service)
            cpu_s = process.cpu_s() - cpu_before_s
        moments = commits.commit_times(self._system, service, first, purchases).values()
        first_commit = min(moments)
        later = sum(moment > first_commit for moment in moments)  # the first batch has no beginning
        rate = later / (max(moments) - first_commit) if later else 0.0
        return Drain(service, len(moments), rate, cpu_s / len(moments))

    def _latencies(self, service: str, first: int, purchases: int, began_at: float, rate: float) -> Sequence[float]:
        found = commits.commit_times(self._system, service, first, purchases)
        by_checkout = {checkout_id(first + n): n for n in range(purchases)}
        completed = len(POSTED) - 1
        due = {f"stripe.{kind}": place for place, kind in enumerate(POSTED)}
        return sorted(
            committed_at - began_at - (by_checkout[checkout] * len(POSTED) + due.get(key, completed)) / rate
            for (checkout, key), committed_at in found.items()
        )

    def _handled(self, service: str) -> int:
        return commits.count_handled(self._system, service)

    def _wait_for_all(self) -> None:
        for service in SERVICES:
            self._wait_for(service)

    def _wait_for(self, service: str) -> None:
        wanted = self.purchases * len(commits.ROUTING_KEYS[service])
        what = f"the last commit of {service}"
        wait_until(lambda: self._handled(service) >= wanted, DRAIN_TIMEOUT_S, what)


def _cpu_s(processes: Sequence[MeasuredProcess]) -> float:
    return sum(process.cpu_s() for process in processes)
