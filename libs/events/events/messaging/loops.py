"""A worker's background loops: each runs on its own thread, rests, and is woken by its signal."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter

from events.database.errors import is_away
from events.database.notify import Signal
from events.observability.logging import get_logger
from events.observability.metrics import from_zero

FAILURE_PAUSE_S = 5.0  # after an unexpected failure: long enough to spare a database that is starting up

FAILURES = Counter("clozit_worker_loop_failures_total", "Unexpected failures of a worker's loops", ["loop"])

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """A periodic task: runs `every` so many seconds, and when the channel `on` is notified."""

    name: str
    every: float
    run: Callable[[], object]
    on: str | None = None


@dataclass(frozen=True)
class Loop:
    """A task that runs again after the number of seconds that `run` returns, or earlier when `signal` is set."""

    name: str
    run: Callable[[], float]
    signal: Signal
    failure_pause: float = FAILURE_PAUSE_S


class Loops:
    """Runs loops until `request_stop`. A failure is logged and counted; the loop goes on, since it may repeat work."""

    def __init__(self, service: str, loops: Sequence[Loop]) -> None:
        self._service = service
        self._loops = loops
        self._stop = threading.Event()
        self.threads: list[threading.Thread] = []
        from_zero(FAILURES, [loop.name for loop in loops])

    def start(self) -> None:
        """Start a thread for each loop."""
        for loop in self._loops:
            self.spawn(loop.name, partial(self._repeat, loop))

    def spawn(self, name: str, target: Callable[[], object]) -> None:
        """Start one more thread and add it to `threads`."""
        thread = threading.Thread(target=target, name=f"{self._service}-{name}", daemon=True)
        self.threads.append(thread)
        thread.start()

    def request_stop(self) -> None:
        """Let each loop end after its current run."""
        self._stop.set()
        for loop in self._loops:
            loop.signal.set()

    @property
    def is_stopping(self) -> bool:
        """True after `request_stop`."""
        return self._stop.is_set()

    def _repeat(self, loop: Loop) -> None:
        while not self._stop.is_set():
            try:
                rest = loop.run()
            except Exception as error:
                FAILURES.labels(loop.name).inc()
                if is_away(error):
                    log.error("database away", loop=loop.name, error=str(error))
                else:
                    log.exception("loop failed", loop=loop.name)
                self._stop.wait(loop.failure_pause)
            else:
                loop.signal.wait(rest)
