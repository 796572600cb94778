"""Parameter types for click commands."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import click

MIN_RATE = 0.001  # per second; the pause after each event stays within hours
MIN_INTERVAL = timedelta(seconds=1)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Instant(click.ParamType[datetime]):
    """The type of an option that accepts an age (90s, 30m, 12h, 3d) or an instant (2026-11-20T10:00:00Z).

    The option's value is an instant in UTC. An age counts back from now.
    """

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the instant that an option's text names, in whole seconds. Fails the command for other text."""
        if isinstance(value, datetime):
            return value
        try:
            return _instant(str(value)).replace(microsecond=0)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither an age such as 90s, 30m, 12h or 3d, nor an instant with its time zone such as"
                " 2026-11-20T10:00:00Z.",
                param,
                ctx,
            )


class Interval(click.ParamType[timedelta]):
    """The type of an option that accepts a span of time: 30s, 5m, 1h, 1d. At least `MIN_INTERVAL`."""

    name = "interval"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the span. Fails the command for other text."""
        if isinstance(value, timedelta):
            return value
        try:
            span = _age(str(value))
        except OverflowError:
            span = None
        if span is None or span < MIN_INTERVAL:
            self.fail(f"{value!r} is not an interval such as 30s, 5m or 1h, of at least 1s.", param, ctx)
        return span


class Rate(click.FloatRange):
    """A number of events per second, at least 0.001. Infinity and NaN are refused."""

    name = "rate"

    def __init__(self) -> None:
        super().__init__(min=MIN_RATE)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the rate. Fails the command for other text."""
        rate = float(super().convert(value, param, ctx))
        if not math.isfinite(rate):
            self.fail(f"{value!r} is not a rate. Give a finite number of events per second.", param, ctx)
        return rate


class FilterText(click.ParamType[str]):
    """The text of a filter. Blank text is refused: it would select everything."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. Fails the command for blank text."""
        if not str(value).strip():
            self.fail("Give the text to search for, or leave this option out.", param, ctx)
        return str(value)


def _age(text: str) -> timedelta | None:
    """Return the span of time that a text names, or None."""
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in UNITS:
        return timedelta(**{UNITS[text[-1]]: int(text[:-1])})
    return None


def _instant(text: str) -> datetime:
    if (age := _age(text)) is not None:
        return datetime.now(UTC) - age
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(text)
    return instant.astimezone(UTC)
