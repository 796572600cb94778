"""gunicorn's settings for a peer whose processes keep to one core each, as ours do with `--pin`."""

import os
from itertools import count
from typing import Any

_forked = count()


def pre_fork(_server: Any, worker: Any) -> None:
    worker.core = next(_forked) % len(os.sched_getaffinity(0))


def post_fork(_server: Any, worker: Any) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[worker.core]})
