"""The verdict: which series of samples are flat. The rules are in `RULES`, as sentences for the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

MIN_SAMPLES = 4  # one in each quarter
WARM_UP_SHARE = 0.25  # of the run: pools, arenas and caches fill
COUNT_TOLERANCE = 2  # a health check, a pool's connection or a reply may be open at a sample
TOLERANCE_SHARE = 0.1  # of a count: pools and keep-alive connections follow the number of customers at once
METRICS_TOLERANCE = 60  # lines; the first request with a new status adds a line for each bucket of a histogram
MEMORY_LIMIT_MIB_PER_H = 2.0
NOISE_MIB = 1.0  # RSS moves by as much within a minute, so a short run cannot show less
MAX_SLOPE_SAMPLES = 300  # the slope compares all pairs

Point = tuple[float, float]  # seconds since the start, value
Series = Sequence[Point]

RULES = (
    f"Processes, threads, file descriptors, sockets, connections and channels are flat if the median of the last"
    f" quarter is at most {COUNT_TOLERANCE} or {TOLERANCE_SHARE:.0%} away from that of the first; the metrics of a"
    f" process at most {METRICS_TOLERANCE} lines or {TOLERANCE_SHARE:.0%}.",
    f"Memory (RSS) is flat if it grows by at most {MEMORY_LIMIT_MIB_PER_H:g} MiB/h after the warm-up, the first"
    f" {WARM_UP_SHARE:.0%} of the run. The slope is Theil and Sen's: the median of the slopes of all pairs of samples."
    f" Less than {NOISE_MIB:g} MiB in the whole run is noise.",
)


@dataclass(frozen=True)
class Trend:
    """A series in three figures: the medians of its first and last quarter, and its slope after the warm-up."""

    first: float
    last: float
    slope_per_h: float
    hours: float  # from the end of the warm-up to the last sample

    @classmethod
    def of(cls, series: Series) -> "Trend":
        """Return the trend of a series. Raises `ValueError` for fewer samples than `MIN_SAMPLES`."""
        if len(series) < MIN_SAMPLES:
            raise ValueError(f"A trend needs at least {MIN_SAMPLES} samples, and there are {len(series)}.")
        quarter = len(series) // 4
        warm = series[round(len(series) * WARM_UP_SHARE) :]
        return cls(
            first=median(value for _, value in series[:quarter]),
            last=median(value for _, value in series[-quarter:]),
            slope_per_h=_slope_per_s(warm) * 3600,
            hours=(warm[-1][0] - warm[0][0]) / 3600,
        )

    def is_steady(self, tolerance: float) -> bool:
        """Return True if a count is flat: it may vary by `tolerance`, and a large one by `TOLERANCE_SHARE`."""
        return abs(self.last - self.first) <= max(tolerance, TOLERANCE_SHARE * self.first)

    @property
    def is_memory_flat(self) -> bool:
        """True if a memory in MiB is flat. It may shrink."""
        growth = self.slope_per_h * self.hours
        return self.slope_per_h <= MEMORY_LIMIT_MIB_PER_H or growth <= NOISE_MIB


def _slope_per_s(series: Series) -> float:
    thinned = series[:: -(-len(series) // MAX_SLOPE_SAMPLES)]
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(thinned, 2)]
    return median(slopes) if slopes else 0.0


def growing(memory: Mapping[str, Trend]) -> Iterator[str]:
    """Yield a sentence for each memory in MiB that is not flat."""
    for name, trend in memory.items():
        if not trend.is_memory_flat:
            yield f"{name} grows by {trend.slope_per_h:.1f} MiB/h, from {trend.first:.1f} to {trend.last:.1f} MiB."


def changed(counts: Mapping[str, Trend], tolerance: float) -> Iterator[str]:
    """Yield a sentence for each count that is not flat."""
    for name, trend in counts.items():
        if not trend.is_steady(tolerance):
            yield f"{name} went from {trend.first:g} to {trend.last:g}."
