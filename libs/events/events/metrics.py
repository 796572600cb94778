"""What /metrics tells of this process, and of its siblings where a web server has several.

Series that somebody is to be alarmed by exist from the start, at 0: Prometheus calls growth only what it has seen
before, so a counter that first appears with its first failure has not grown, and no alert is raised.
"""

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's: the folder in which processes keep their figures


def from_zero(counter: Counter, *labels: Sequence[str]) -> None:
    """Export the counter for every combination of these values, in the order of its labels."""
    for values in itertools.product(*labels):
        counter.labels(*values)


@contextmanager
def shared_by(processes: int) -> Iterator[None]:
    """Processes started within add up their figures, so that each of them answers for all."""
    if processes == 1 or SHARED in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ[SHARED] = folder
        # prometheus_client looks when it is imported: a forked process would go on with what is here.
        multiprocessing.set_start_method("spawn", force=True)
        try:
            yield
        finally:
            del os.environ[SHARED]


def latest() -> bytes:
    folder = os.environ.get(SHARED)
    if folder is None:
        return generate_latest()
    _forget_the_ended(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)


def _forget_the_ended(folder: Path) -> None:
    """What was in flight in a process that died is not in flight any more; what it counted stays counted."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)
