"""The log lines of rejected webhooks: some per minute in full, the rest as a number.

Strangers can post as many invalid webhooks as they like. With a line for each, the log's rotation would soon
remove what operators look for. The metric counts all of them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from events.observability.logging import get_logger

from webhooks.errors import RejectedEventError

PERIOD_S = 60
LINES_PER_PERIOD = 20  # of a process: enough to see who posts and why; 10 MB a day at most

log = get_logger(__name__)


@dataclass
class RejectionLog:
    """The log of rejected webhooks in this process. Threads can share it."""

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began_at: float = float("-inf")
    _lines: int = 0
    _omitted: int = 0

    def add(self, error: RejectedEventError, client: str | None) -> None:
        """Log a rejected webhook with its client's address, or count it if this minute has its lines."""
        with self._lock:
            omitted = self._begin_period() if self.clock() >= self._began_at + PERIOD_S else 0
            is_logged = self._lines < LINES_PER_PERIOD
            self._lines += is_logged
            self._omitted += not is_logged
        if omitted:
            log.warning("more webhooks rejected than logged", omitted=omitted, lines_per_minute=LINES_PER_PERIOD)
        if is_logged:
            log.warning("webhook rejected", reason=error.reason, detail=error.detail, client=client)

    def _begin_period(self) -> int:
        """Begin a period. Return how many webhooks the last one has omitted."""
        omitted, self._omitted = self._omitted, 0
        self._began_at, self._lines = self.clock(), 0
        return omitted
