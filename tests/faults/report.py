"""The report of the faults: a table, printed at the end and written to the file that FAULTS_REPORT names."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tests.faults.auditor import Auditor, Finding, Kind
from tests.faults.stripe_ledger import StripeLedger

HEAD = (
    "fault",
    "events",
    "acknowledged",
    "refused attempts",
    "handled",
    "lost",
    "duplicate effects",
    "longest stall (s)",
    "time to drain (s)",
)
EXPLANATION = """\
- Events: all that Stripe made shortly before, during and after the fault.
- Acknowledged: the ingest answered 2xx.
- Refused attempts: the ingest gave another answer or none. Stripe then repeats the attempt.
- Handled: acknowledged events that every service has handled that receives them.
- Lost and duplicate effects: found by the auditor in events, payments, stock and e-mails. Both must be 0.
- Longest stall: the longest time in which one service neither received nor finished an event.
- Time to drain: from the last delivery until no service had anything left to do."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    events: int
    acknowledged: int
    refused: int
    handled: int
    lost: int
    duplicates: int
    stall_s: float
    drain_s: float

    @classmethod
    def measure(
        cls,
        fault: str,
        ledger: StripeLedger,
        auditor: Auditor,
        findings: Sequence[Finding],
        *,
        began_at: float,
        drain_s: float,
    ) -> Self:
        """Return the row of one fault. `ledger` has only this fault's events, from `began_at` on (Unix time)."""
        return cls(
            fault,
            len(ledger.events),
            len(ledger.acknowledged),
            ledger.refused_attempts,
            auditor.count_handled(ledger),
            sum(finding.kind == Kind.LOST for finding in findings),
            sum(finding.kind == Kind.DUPLICATE for finding in findings),
            auditor.longest_stall_s(began_at),
            drain_s,
        )

    def cells(self) -> Sequence[str]:
        """Return the texts of the columns."""
        counts = (self.events, self.acknowledged, self.refused, self.handled, self.lost, self.duplicates)
        return self.fault, *(f"{count:,}" for count in counts), f"{self.stall_s:.1f}", f"{self.drain_s:.1f}"


@dataclass
class Report:
    """The rows and notes that the tests add, with the versions of the servers."""

    seed: int
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the report as Markdown."""
        versions = {"Python": platform.python_version(), **self.versions}
        machine = f"{os.cpu_count()} cores, " + ", ".join(f"{name} {version}" for name, version in versions.items())
        table = [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(row.cells()) for row in self.rows)]
        parts = [
            "# Faults",
            f"`make faults` with the seed {self.seed}. `FAULTS_SEED={self.seed}` repeats the same schedule. {machine}.",
            "\n".join(table),
            EXPLANATION,
            "## Notes" if self.notes else "",
            "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
