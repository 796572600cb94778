"""gunicorn's settings for a peer with each process pinned to one core, as Clozit's ingest with `--pin`."""

import os
from itertools import count
from typing import Any

_fork_numbers = count()


def pre_fork(_server: Any, worker: Any) -> None:
    """Choose the next worker's core."""
    worker.core = next(_fork_numbers) % len(os.sched_getaffinity(0))


def post_fork(_server: Any, worker: Any) -> None:
    """Pin a new worker to its core."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[worker.core]})
