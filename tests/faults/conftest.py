"""The faults' report: printed at the end; written to the file that FAULTS_REPORT names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


class Report:
    """A row for each fault, counted from what the services hold once all is quiet."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int, int, float]] = []

    def add(self, fault: str, purchases: int, lost: int, twice: int, drained_after: float) -> None:
        self.rows.append((fault, purchases, lost, twice, drained_after))

    def text(self) -> str:
        lines = [
            "| fault | purchases paid | lost | effects twice | all effects there after (s) |",
            "|---|---|---|---|---|",
        ]
        return "\n".join(
            [
                *lines,
                *(f"| {fault} | {n} | {lost} | {twice} | {after:.1f} |" for fault, n, lost, twice, after in self.rows),
            ]
        )


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    print(f"\n{made.text()}")
    if path := os.environ.get("FAULTS_REPORT"):
        Path(path).write_text(made.text() + "\n")
