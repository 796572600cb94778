"""A worker's background loops: each runs on its own thread, rests, and is woken by its signal."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import Counter

from events.database.errors import is_unavailable
from events.database.notify import Signal
from events.observability.logging import get_logger
from events.observability.metrics import from_zero

READY_POLL_S = 2.0  # between checks whether the loops can start
FAILURE_PAUSE_S = 5.0  # after an unexpected failure: long enough to spare a database that is starting up

LOOP_FAILURES = Counter("clozit_worker_loop_failures_total", "Unexpected failures of a worker's loops", ["loop"])

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """A periodic task: runs every `every_s` seconds, and when the channel `on` is notified."""

    name: str
    every_s: float
    run: Callable[[], object]
    on: str | None = None


@dataclass(frozen=True)
class Loop:
    """A task that runs again after the number of seconds that `run` returns, or earlier when `signal` is set."""

    name: str
    run: Callable[[], float]
    signal: Signal
    failure_pause_s: float = FAILURE_PAUSE_S


class Loops:
    """A set of loops that run until `request_stop`. A loop that fails is logged, counted and run again after a pause.

    The loops start once `check_ready` does not raise.
    """

    def __init__(self, service: str, loops: Sequence[Loop], check_ready: Callable[[], object] = lambda: None) -> None:
        self._service = service
        self._loops = loops
        self._check_ready = check_ready
        self._stop = threading.Event()
        self.threads: list[threading.Thread] = []
        self.waits_for: str | None = "starting"  # why the loops have not started, or None
        from_zero(LOOP_FAILURES, [loop.name for loop in loops])

    def start(self) -> None:
        """Start a thread that waits until `check_ready` does not raise, then starts a thread for each loop."""
        self.spawn("start", self._start_when_ready)

    def _start_when_ready(self) -> None:
        while not self._stop.is_set():
            try:
                self._check_ready()
            except Exception as error:  # noqa: BLE001 - after any error, the loops cannot work yet
                reason = str(error).partition("\n")[0]
                if reason != self.waits_for:
                    log.error("worker cannot start yet", error=reason)
                self.waits_for = reason
                self._stop.wait(READY_POLL_S)
            else:
                self.waits_for = None
                for loop in self._loops:
                    self.spawn(loop.name, partial(self._repeat, loop))
                return

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
                LOOP_FAILURES.labels(loop.name).inc()
                facts = {"loop": loop.name, "pause_s": loop.failure_pause_s}
                if is_unavailable(error):
                    log.error("database away, or a row locked: the loop pauses", **facts, error=str(error))
                else:
                    log.exception("loop failed, it runs again after a pause", **facts)
                self._stop.wait(loop.failure_pause_s)
            else:
                loop.signal.wait(rest)
