"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """`seconds` a run of the ingest, `purchases` in a run of the pipeline; of `repeat` runs the median counts.

    `write`: into bench/results too.
    """

    seconds: float = 4.0
    repeat: int = 3
    purchases: int = 600
    write: bool = True
