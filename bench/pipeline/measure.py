"""Runs: one service's process on a full queue, everything together, and a steady trickle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from events.testing.servers import wait_until

from bench.ingest.measure import Wrong
from bench.load import Plan, fire
from bench.pipeline import commits
from bench.pipeline.system import SECRET, SERVICES, System
from bench.posts import Posts
from bench.processes import Measured
from bench.purchases import POSTED, checkout_id, templates

CONNECTIONS = 24
DRAINED_WITHIN = 120.0  # seconds
STARTED = ("checkout.checkout.started",)


@dataclass(frozen=True)
class Drain:
    """Events per second of one process on its full queue; `cpu` seconds of its own for each."""

    service: str
    events: int
    rate: float
    cpu: float


@dataclass(frozen=True)
class Together:
    """`rate`: Stripe's events per second from the first post to the last commit of any service."""

    workers: int
    posts: int
    rate: float
    cpu: Mapping[str, float]


class Pipeline:
    """Numbers purchases from 1 on; each is measured once."""

    def __init__(self, system: System) -> None:
        self._system = system
        templated = templates()
        self._templates = [templated[kind] for kind in POSTED]
        self._next = 1
        self.purchases = 0

    def drain(self, purchases: int) -> Sequence[Drain]:
        """Posted while nobody consumes; then each service's process alone, the notifications after the orders."""
        first = self._start(purchases)
        with self._system.serving() as (port, _):
            self._post(port, first, purchases, None)
        return [self._drain(service, first, purchases) for service in SERVICES]

    def together(self, workers: int, purchases: int) -> Together:
        """The ingest and so many workers of each service."""
        first = self._start(purchases)
        with self._system.working(SERVICES, workers) as processes, self._system.serving() as (port, _):
            before = {name: _cpu(processes[name]) for name in SERVICES}
            begun = self._post(port, first, purchases, None)
            self._wait_for_all()
            cpu = {name: _cpu(processes[name]) - before[name] for name in SERVICES}
        last = max(max(commits.times(self._system, name, first, purchases).values()) for name in SERVICES)
        posts = purchases * len(POSTED)
        events = {name: purchases * len(commits.EXPECTED[name]) for name in SERVICES}
        return Together(workers, posts, posts / (last - begun), {name: cpu[name] / events[name] for name in SERVICES})

    def trickle(self, rate: float, purchases: int) -> Mapping[str, Sequence[float]]:
        """Seconds from the moment when a post was due to each service's commit, by service, with a worker of each."""
        first = self._start(purchases)
        with self._system.working(SERVICES, 1), self._system.serving() as (port, _):
            begun = self._post(port, first, purchases, rate)
            self._wait_for_all()
        return {name: self._latencies(name, first, purchases, begun, rate) for name in SERVICES}

    def check(self) -> None:
        """Raises `Wrong` unless every purchase had every effect once."""
        system = self._system
        with system.working(["notifications"], 1):  # the events are handled sooner than their mails are sent
            wait_until(lambda: system.mails() >= self.purchases, DRAINED_WITHIN, "the last mail")
        wrong = {what: count for what, count in commits.effects(system).items() if count != self.purchases}
        if wrong or commits.unsettled(system):
            raise Wrong(f"{self.purchases} purchases, but {wrong}; {commits.unsettled(system)} events are not settled")

    def _start(self, purchases: int) -> int:
        """Checkouts whose orders are open, so that what is measured is the payment."""
        first, self._next = self._next, self._next + purchases
        self.purchases += purchases
        self._system.start_checkouts(first, purchases)
        with self._system.working(("checkout", "orders"), 1):
            wait_until(
                lambda: commits.handled(self._system, "orders", STARTED) == self.purchases,
                DRAINED_WITHIN,
                "the orders' opening",
            )
        return first

    def _post(self, port: int, first: int, purchases: int, rate: float | None) -> float:
        """Post everything of these purchases; when the first post was due."""
        posts = Posts(self._templates, SECRET, first, purchases * len(self._templates))
        shots = fire(Plan(port, posts, CONNECTIONS, rate=rate))
        if set(shots.statuses) != {200}:
            raise Wrong(f"the ingest answered {shots.statuses}")
        return shots.begun

    def _drain(self, service: str, first: int, purchases: int) -> Drain:
        with self._system.working([service], 1) as processes:
            [process] = processes[service]
            before, ahead = process.cpu(), self._handled(service)  # starting up is not what an event costs
            self._wait_for(service)
            cpu = (process.cpu() - before) / max(1, self._handled(service) - ahead)
        moments = commits.times(self._system, service, first, purchases).values()
        events, first_commit = len(moments), min(moments)
        later = sum(moment > first_commit for moment in moments)  # the first one's whole batch was before the clock
        return Drain(service, events, later / (max(moments) - first_commit) if later else 0.0, cpu)

    def _latencies(self, service: str, first: int, purchases: int, begun: float, rate: float) -> Sequence[float]:
        found = commits.times(self._system, service, first, purchases)
        by_checkout = {checkout_id(first + n): n for n in range(purchases)}
        completed = len(POSTED) - 1
        due = {f"stripe.{kind}": place for place, kind in enumerate(POSTED)}
        return sorted(
            at - begun - (by_checkout[checkout] * len(POSTED) + due.get(key, completed)) / rate
            for (checkout, key), at in found.items()
        )

    def _handled(self, service: str) -> int:
        return commits.handled(self._system, service)

    def _wait_for_all(self) -> None:
        for service in SERVICES:
            self._wait_for(service)

    def _wait_for(self, service: str) -> None:
        wanted = self.purchases * len(commits.EXPECTED[service])
        what = f"the {service}' last commit"
        wait_until(lambda: self._handled(service) >= wanted, DRAINED_WITHIN, what)


def _cpu(processes: Sequence[Measured]) -> float:
    return sum(process.cpu() for process in processes)
