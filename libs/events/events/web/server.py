"""The web server of every service: granian, with its network threads in Rust."""

import os
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from events.observability import metrics

THREADS = 32  # a request mostly waits for a confirm, a query or Stripe


def serve(app: str, port: int, *, threads: int = THREADS, workers: int = 1, pin: bool = False) -> None:
    """Serve until SIGTERM. `app` names the factory that granian's processes import, as module:function.

    `pin` keeps the threads of each of the `workers` processes on one core. Python runs one thread at a time, and
    handing its lock to another core costs more than on the same one: a third of the ingest's CPU (bench/).
    """
    granian = Granian(
        app,
        factory=True,
        address="0.0.0.0",
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        backlog=1024,
        workers_kill_timeout=8,
        log_access=False,
        log_level=LogLevels.error,  # its start-up lines are not JSON
        respawn_failed_workers=True,
    )
    with metrics.shared_between(workers):
        granian.serve(spawn_target=_spawn_pinned if pin else None)


def _spawn_pinned(worker_id: int, *arguments: Any) -> None:
    """Pin a new process to its core before it starts threads; granian counts its workers from 1."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(worker_id - 1) % len(cores)]})
    Granian._spawn_wsgi_worker(worker_id, *arguments)
