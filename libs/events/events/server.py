"""The web server of every service: granian, its threads in Rust but for those that run Python."""

import os
from typing import Any

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from events import metrics

THREADS = 32  # a request mostly waits: for a confirm, a query, Stripe


def serve(app: str, port: int, *, threads: int = THREADS, workers: int = 1, pin: bool = False) -> None:
    """Serve until SIGTERM. `app` names the factory that granian's processes import, as module:function.

    `pin` keeps the threads of each of the `workers` on one core. Python lets one of them run at a time anyway, and a
    hand-over to another core costs more than one on the same: nearly a third of the ingest's CPU (bench/).
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
        log_level=LogLevels.error,  # its own start-up lines are no JSON
        respawn_failed_workers=True,
    )
    with metrics.shared_by(workers):
        granian.serve(spawn_target=_on_its_core if pin else None)


def _on_its_core(worker_id: int, *arguments: Any) -> None:
    """What granian runs in a new process, before the process has threads; it counts workers from 1."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(worker_id - 1) % len(cores)]})
    Granian._spawn_wsgi_worker(worker_id, *arguments)
