"""The fake's time, which can be moved forward, and what is to happen at a time."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Clock:
    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._ahead = 0.0

    def now(self) -> float:
        return self._source() + self._ahead

    def timestamp(self) -> int:
        return int(self.now())

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class Timers:
    """Runs actions at their time on one thread; an action must be quick."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fake-stripe-timers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def at(self, when: float, action: Callable[[], object]) -> None:
        with self._changed:
            heapq.heappush(self._due, (when, next(self._order), action))
            self._changed.notify()

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        self.at(self._clock.now() + seconds, action)

    def advance(self, seconds: float) -> None:
        with self._changed:
            self._clock.advance(seconds)
            self._changed.notify()

    def _run(self) -> None:
        while action := self._next():
            try:
                action()
            except Exception:  # noqa: BLE001 - one refused action must not end all the others
                _log.exception("A timed action of the fake Stripe failed")

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - self._clock.now() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
        return None
