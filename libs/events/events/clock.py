"""The clock of the services. A simulation replaces its source of time (tests/simulation)."""

from collections.abc import Callable
from datetime import UTC, datetime


def _system_time() -> datetime:
    return datetime.now(UTC)


source: Callable[[], datetime] = _system_time


def utcnow() -> datetime:
    """Return the current instant, aware and in UTC."""
    return source()
