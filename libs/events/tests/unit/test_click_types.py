"""Instants on the command line."""

from datetime import UTC, datetime, timedelta

import click
import pytest
from events.operations.click_types import FilterText, Instant, Rate


def instant(text: str) -> datetime:
    return Instant().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "age"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)), ("3d", timedelta(3))],
)
def test_age_is_counted_back_from_now(text: str, age: timedelta) -> None:
    before = datetime.now(UTC).replace(microsecond=0) - age
    assert before <= instant(text) <= datetime.now(UTC) - age


def test_instant_is_converted_to_utc() -> None:
    assert instant("2026-11-20T10:00:00+02:00") == datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "3", "d", "3w", "-3d", "²d", "2026-11-20", "2026-11-20T10:00:00", "99999999999d"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither an age"):
        instant(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "1e-9", "fast"])
def test_rate_that_is_no_pace_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Rate().convert(text, None, None)
    assert Rate().convert("0.5", None, None) == 0.5


@pytest.mark.parametrize("text", ["", " "])
def test_blank_filter_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="leave this option out"):
        FilterText().convert(text, None, None)
    assert FilterText().convert(" x", None, None) == " x"
