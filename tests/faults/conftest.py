"""The faults' report: printed at the end; written to the file that FAULTS_REPORT names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


class Report:
    """A row for each fault that was survived."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, float]] = []

    def add(self, fault: str, purchases: int, drained_after: float) -> None:
        self.rows.append((fault, purchases, drained_after))

    def text(self) -> str:
        lines = [
            "| fault | purchases paid | lost | effects twice | all effects there after (s) |",
            "|---|---|---|---|---|",
        ]
        return "\n".join(
            [*lines, *(f"| {fault} | {count} | 0 | 0 | {after:.1f} |" for fault, count, after in self.rows)]
        )


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    print(f"\n{made.text()}")
    if path := os.environ.get("FAULTS_REPORT"):
        Path(path).write_text(made.text() + "\n")
