"""The metrics of this process, and of its sibling processes where a web server has several.

Counters with alerts start at 0 explicitly. Prometheus sees growth only in a series that existed before: a counter that
first appears with its first failure has not grown, and raises no alert.
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

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's setting: the folder of shared metrics


def from_zero(counter: Counter, *labels: Sequence[str]) -> None:
    """Export the counter at 0 for every combination of label values. `labels` has the values of each label."""
    for values in itertools.product(*labels):
        counter.labels(*values)


@contextmanager
def shared_between(processes: int) -> Iterator[None]:
    """Let the processes that start within the block share metrics, so that each process reports the metrics of all."""
    if processes == 1 or MULTIPROCESS_DIR in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ[MULTIPROCESS_DIR] = folder
        # prometheus_client reads the setting on import: a forked process would keep the old one.
        multiprocessing.set_start_method("spawn", force=True)
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_DIR]


def latest() -> bytes:
    """Return the metrics of this process, or of all processes that share them, for Prometheus."""
    folder = os.environ.get(MULTIPROCESS_DIR)
    if folder is None:
        return generate_latest()
    _drop_dead_processes(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)


def _drop_dead_processes(folder: Path) -> None:
    """Remove the gauges of processes that died; their counters stay."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)
