"""The faults' table: printed at the end, and written to the file that FAULTS_REPORT names."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.auditor import LOST, TWICE, Auditor, Finding
from tests.faults.ledger import Ledger

HEAD = (
    "fault",
    "events in",
    "acknowledged",
    "refused attempts",
    "handled",
    "lost",
    "effects twice",
    "longest stall (s)",
    "time to drain (s)",
)
EXPLANATION = """\
Events in: made at Stripe while the fault lasted and around it. Acknowledged: answered 2xx. Refused attempts: answered
otherwise or not at all, and tried again. Handled: acknowledged, and settled in every service whose queue takes them.
Lost and twice: the auditor's count over payments, stock, e-mails and events. Longest stall: the longest time in which
one of the services settled nothing while events were on their way. Time to drain: from the last delivery until nothing
was left to do."""


@dataclass(frozen=True)
class Row:
    fault: str
    events: int
    acknowledged: int
    refused: int
    handled: int
    lost: int
    twice: int
    stall: float
    drained_after: float

    def cells(self) -> Sequence[str]:
        counts = (self.events, self.acknowledged, self.refused, self.handled, self.lost, self.twice)
        return self.fault, *(f"{count:,}" for count in counts), f"{self.stall:.1f}", f"{self.drained_after:.1f}"


def row(fault: str, ledger: Ledger, auditor: Auditor, findings: Sequence[Finding], since: float, drained: float) -> Row:
    """`since` when its events began, in seconds since the epoch; `ledger` is this fault's part alone."""
    return Row(
        fault,
        len(ledger.events),
        len(ledger.acknowledged),
        ledger.refused,
        auditor.handled(ledger),
        sum(finding.kind == LOST for finding in findings),
        sum(finding.kind == TWICE for finding in findings),
        auditor.longest_stall(since),
        drained,
    )


class Report:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.versions: Mapping[str, str] = {}

    def text(self) -> str:
        versions = {"Python": platform.python_version(), **self.versions}
        machine = f"{os.cpu_count()} cores, " + ", ".join(f"{name} {version}" for name, version in versions.items())
        table = [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(row.cells()) for row in self.rows)]
        parts = [
            "# Faults",
            f"`make faults`, seed {self.seed}: `FAULTS_SEED={self.seed}` plays the same schedule again. {machine}.",
            "\n".join(table),
            EXPLANATION,
            "\n".join(f"- {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
