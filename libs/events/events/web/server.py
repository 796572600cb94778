"""The web server of every service: granian, with its network threads in Rust.

Each of its processes serves HEALTH_PORT itself, because only the process knows that it still runs. Several processes
share that port as they share PORT: the kernel hands a probe to one of them. A frozen process then fails only the probes
that reach it, which is one more reason for replicas of one process each.
"""

import os
from functools import partial
from importlib import import_module
from typing import Any

from flask import Flask
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from events.config import forget_secrets
from events.observability import metrics
from events.web.health import HealthServer

THREADS = 32  # a request mostly waits for a confirm, a query or Stripe


def serve(
    app: str, port: int, *, health_port: int = 0, threads: int = THREADS, workers: int = 1, pin: bool = False
) -> None:
    """Serve HTTP on `port` until SIGTERM. `app` names the application's factory, as module:function.

    With a `health_port`, health and metrics are served there, too, from threads that no other request can occupy.
    `pin` keeps the threads of each of the `workers` processes on one core. Python runs one thread at a time, and
    handing its lock to another core costs more than on the same core: a third of the ingest's CPU (bench/).
    """
    granian = Granian(
        app,
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
        granian.serve(
            spawn_target=_spawn_pinned if pin else None,
            target_loader=partial(_load, health_port=health_port, shared=workers > 1),
        )


def _load(target: str, *, health_port: int, shared: bool) -> Flask:
    """Create the application in the process that serves it, forget its secrets and serve its health."""
    module, _, factory = target.partition(":")
    app: Flask = getattr(import_module(module), factory)()
    if "clozit.health" in app.extensions:
        forget_secrets(type(app.extensions["clozit.config"]))  # granian copies the environment into each request's
        if health_port:
            HealthServer(health_port, app.extensions["clozit.health"], shared=shared)
    return app


def _spawn_pinned(worker_id: int, *arguments: Any) -> None:
    """Pin a new process to its core before it starts threads; granian counts its workers from 1."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[(worker_id - 1) % len(cores)]})
    Granian._spawn_wsgi_worker(worker_id, *arguments)
