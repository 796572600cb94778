"""The clock: one place that says what time it is."""

from datetime import UTC, datetime


def utcnow() -> datetime:
    """Return the current instant, aware and in UTC."""
    return datetime.now(UTC)
