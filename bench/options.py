"""The options of all measurements, from the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`seconds` per ingest run and `purchases` per pipeline run. The median of `repeat` runs counts.

    With `write`, the tables are also written to bench/results.
    """

    seconds: float = 4.0
    repeat: int = 3
    purchases: int = 600
    write: bool = True
