"""The clock: one place that says what time it is. A simulation sets another source (tests/simulation)."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system_time() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_time


def utcnow() -> datetime:
    """Return the current instant, aware and in UTC."""
    return source()
