"""The report of a run: how often each event, loop, route, act, status and fault was there, and what faults hit."""

import json
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from checkout.handlers import handlers as checkout_handlers
from inventory.handlers import handlers as inventory_handlers
from notifications.handlers import create_handlers
from orders.handlers import handlers as orders_handlers

from tests.simulation.actors import ACTS
from tests.simulation.adversary import KINDS
from tests.simulation.transitions import TRANSITIONS
from tests.simulation.world import World

# What a world visits, and no fault can hit there, each with its reason.
UNHIT: dict[str, str] = {}


@dataclass(frozen=True)
class Result:
    """The counts of one world."""

    seed: int
    digest: str
    delivered: int
    posted: int
    faults: Counter[tuple[str, str]]
    visits: Counter[str]
    violations: list[str]

    @classmethod
    def of(cls, world: World) -> "Result":
        """Return the counts of a world that has been played."""
        counts = (world.digest, world.delivered, world.posted, world.adversary.hits, world.visits, world.violations)
        return cls(world.plan.seed, *counts)

    def to_json(self) -> str:
        """Return the counts as one line."""
        faults = [[kind, place, count] for (kind, place), count in sorted(self.faults.items())]
        return json.dumps({**vars(self), "faults": faults, "commit": commit()}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Result":
        """Return the counts of a line."""
        found = json.loads(line)
        del found["commit"]
        faults = Counter({(kind, place): count for kind, place, count in found.pop("faults")})
        return cls(**{**found, "visits": Counter(found["visits"])}, faults=faults)


def read_results(path: Path) -> list[Result]:
    """Return the results of a file, without a line that a killed run has not finished."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [Result.from_json(line) for line in lines if line.endswith("}")]


class Total:
    """The sum of all results."""

    def __init__(self, results: Sequence[Result], seconds: float) -> None:
        self._results, self._seconds = results, seconds
        self.delivered = sum(result.delivered for result in results)
        self.posted = sum(result.posted for result in results)
        self.faults: Counter[tuple[str, str]] = Counter()
        self.visits: Counter[str] = Counter()
        for result in results:
            self.faults.update(result.faults)
            self.visits.update(result.visits)

    def summary(self) -> str:
        """Return the run in one sentence."""
        failed = sum(bool(result.violations) for result in self._results)
        events = f"{self.delivered + self.posted} delivered events"
        return (
            f"{len(self._results)} seeds, {events} ({self.posted} by Stripe to the ingest, {self.delivered} by the"
            f" broker to services), {sum(self.faults.values())} faults, {failed} seeds failed, {self._seconds:.0f} s"
        )

    def missed(self) -> list[str]:
        """Return the names of acts, events, status changes and faults that never happened, but should in a long run."""
        handlers = {
            "checkout": checkout_handlers,
            "inventory": inventory_handlers,
            "orders": orders_handlers,
            "notifications": create_handlers(),
        }
        events = [f"event {service} {key}" for service, found in handlers.items() for key in found.keys]
        places = [name for name in self.visits if name.startswith(("event ", "loop ", "route "))]
        hit = [f"hit {name}" for name in sorted({*events, *places}) if name not in UNHIT]
        acts = [f"act {name}" for name in ACTS]
        met = {kind for kind, _ in self.faults}
        return [
            *(name for name in (*acts, *events, *(f"status {name}" for name in TRANSITIONS)) if not self.visits[name]),
            *(f"fault {kind}" for kind in KINDS if kind not in met),
            *(f"a fault at {name.removeprefix('hit ')}" for name in hit if not self.visits[name]),
        ]

    def markdown(self) -> str:
        """Return the report as a page."""
        seeds = [result.seed for result in self._results]
        lines = [
            "# Simulation",
            "",
            f"{self.summary()}. Seeds {min(seeds)} to {max(seeds)}, Python {platform.python_version()},"
            f" commit {commit()}. `docs/simulation.md` says what this is.",
            "",
            "## Faults",
            "",
            "| fault | where | times |",
            "|---|---|---|",
            *(f"| {kind} | {place} | {count} |" for (kind, place), count in sorted(self.faults.items())),
        ]
        for title, prefix in (("Events by receiver", "event "), ("Loops", "loop "), ("Routes", "route ")):
            lines += ["", f"## {title}", "", "| | times | faults meanwhile |", "|---|---|---|"]
            lines += [f"| {name} | {n} | {self.visits[f'hit {prefix}{name}']} |" for name, n in self._counts(prefix)]
        for title, prefix in (("Status changes", "status "), ("Acts", "act ")):
            lines += ["", f"## {title}", "", "| | times |", "|---|---|"]
            lines += [f"| {name} | {n} |" for name, n in self._counts(prefix)]
        missed = self.missed()
        lines += ["", "## Never happened", "", *(f"- {name}" for name in missed), *([] if missed else ["Nothing."])]
        return "\n".join(lines) + "\n"

    def _counts(self, prefix: str) -> Iterable[tuple[str, int]]:
        return sorted((name.removeprefix(prefix), n) for name, n in self.visits.items() if name.startswith(prefix))


def commit() -> str:
    """Return the commit that is checked out."""
    if not _commit:
        command = ["git", "rev-parse", "--short", "HEAD"]
        _commit.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    return _commit[0]


_commit: list[str] = []
