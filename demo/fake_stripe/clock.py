"""The fake's clock, which tests can move forward, and its timers."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Clock:
    """A clock that is ahead of its source by the time that `advance` added."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._ahead = 0.0

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._source() + self._ahead

    def timestamp(self) -> int:
        """Return the time in whole seconds since the epoch."""
        return int(self.now())

    def advance(self, seconds: float) -> None:
        """Move the clock forward by these seconds. Timers notice it only if `Timers.advance` calls this."""
        self._ahead += seconds


class Timers:
    """Timers that run their actions on one thread, so each action must be quick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fake-stripe-timers", daemon=True)

    def start(self) -> None:
        """Start the thread that runs the due actions."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for it. Actions that are not due yet do not run."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Run the action when the clock has moved forward by this time."""
        due_at = self._clock.now() + seconds
        with self._changed:
            heapq.heappush(self._due, (due_at, next(self._order), action))
            self._changed.notify()

    def advance(self, seconds: float) -> None:
        """Move the clock forward by these seconds. The thread then runs the actions that are due."""
        with self._changed:
            self._clock.advance(seconds)
            self._changed.notify()

    @property
    def next_at(self) -> float | None:
        """The time of the next action in seconds since the epoch, or None if there is none.

        Callers that run the actions with `run_next`, without `start`, need this time.
        """
        with self._changed:
            return self._due[0][0] if self._due else None

    def run_next(self) -> None:
        """Run the next action now, on the caller's thread, even if it is not due yet.

        Raise `IndexError` if there is none.
        """
        with self._changed:
            action = heapq.heappop(self._due)[2]
        action()

    def _run(self) -> None:
        while action := self._next():
            try:
                action()
            except Exception:  # noqa: BLE001 - one failed action must not stop the others
                _log.exception("A timer's action failed in the fake Stripe")

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - self._clock.now() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
        return None
