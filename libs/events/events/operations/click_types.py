"""Parameter types for click commands."""

from datetime import UTC, datetime, timedelta
from typing import Any

import click

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Instant(click.ParamType[datetime]):
    """An age such as 90s, 30m, 12h or 3d, or an instant with its time zone such as 2026-11-20T10:00:00Z; in UTC."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant that an option's text names, in whole seconds. Fails the command for other text."""
        if isinstance(value, datetime):
            return value
        try:
            return _instant(str(value)).replace(microsecond=0)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither an age such as 90s, 30m, 12h or 3d, nor an instant with its time zone.",
                param,
                ctx,
            )


def _instant(text: str) -> datetime:
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in UNITS:
        return datetime.now(UTC) - timedelta(**{UNITS[text[-1]]: int(text[:-1])})
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)
