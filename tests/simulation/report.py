"""The report of a run: how often each event, loop, route, act, status and fault was there."""

import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from checkout.handlers import handlers as checkout_handlers
from inventory.handlers import handlers as inventory_handlers
from notifications.handlers import create_handlers
from orders.handlers import handlers as orders_handlers

from tests.simulation.actors import ACTS
from tests.simulation.adversary import KINDS
from tests.simulation.world import World

# Events that no world makes, each with its reason.
IMPOSSIBLE: dict[str, str] = {}


@dataclass(frozen=True)
class Result:
    """The counts of one world."""

    seed: int
    digest: str
    delivered: int
    faults: Counter[tuple[str, str]]
    visits: Counter[str]
    violations: list[str]

    @classmethod
    def of(cls, world: World) -> "Result":
        """Return the counts of a world that has been played."""
        return cls(world.plan.seed, world.digest, world.delivered, world.adversary.hits, world.visits, world.violations)


class Total:
    """The sum of all results."""

    def __init__(self, results: Sequence[Result], seconds: float) -> None:
        self._results, self._seconds = results, seconds
        self.delivered = sum(result.delivered for result in results)
        self.faults: Counter[tuple[str, str]] = Counter()
        self.visits: Counter[str] = Counter()
        for result in results:
            self.faults.update(result.faults)
            self.visits.update(result.visits)

    def summary(self) -> str:
        """Return the run in one sentence."""
        failed = sum(bool(result.violations) for result in self._results)
        return (
            f"{len(self._results)} seeds, {self.delivered} delivered messages, {sum(self.faults.values())} faults,"
            f" {failed} seeds failed, {self._seconds:.0f} s"
        )

    def missed(self) -> list[str]:
        """Return what never happened, and should have."""
        expected = [f"act {name}" for name in ACTS]
        handlers = {
            "checkout": checkout_handlers,
            "inventory": inventory_handlers,
            "orders": orders_handlers,
            "notifications": create_handlers(),
        }
        expected += [f"event {service} {key}" for service, found in handlers.items() for key in found.keys]
        met = {kind for kind, _ in self.faults}
        return [name for name in expected if not self.visits[name] and name not in IMPOSSIBLE] + [
            f"fault {kind}" for kind in KINDS if kind not in met
        ]

    def markdown(self) -> str:
        """Return the report as a page."""
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        seeds = [result.seed for result in self._results]
        lines = [
            "# Simulation",
            "",
            f"{self.summary()}. Seeds {min(seeds)} to {max(seeds)}, Python {platform.python_version()},"
            f" commit {commit}. `docs/simulation.md` says what this is.",
            "",
            "## Faults",
            "",
            "| fault | where | times |",
            "|---|---|---|",
            *(f"| {kind} | {place} | {count} |" for (kind, place), count in sorted(self.faults.items())),
        ]
        for title, prefix in (
            ("Events by receiver", "event "),
            ("Status changes", "status "),
            ("Loops", "loop "),
            ("Routes", "route "),
            ("Acts", "act "),
        ):
            rows = sorted((name.removeprefix(prefix), n) for name, n in self.visits.items() if name.startswith(prefix))
            lines += ["", f"## {title}", "", "| | times |", "|---|---|", *(f"| {name} | {n} |" for name, n in rows)]
        missed = self.missed()
        lines += ["", "## Never happened", "", *(f"- {name}" for name in missed), *([] if missed else ["Nothing."])]
        return "\n".join(lines) + "\n"
