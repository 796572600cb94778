"""The options of all measurements, from the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The size of each measurement: `seconds` of one run of ingest or commits, and `purchases` of one pipeline run.

    The median of `repeat` runs of ingest or commits counts. With `write`, the tables are also written to bench/results.
    """

    seconds: float = 4.0
    repeat: int = 3
    purchases: int = 600
    write: bool = True
