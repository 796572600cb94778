"""The rules and routes of production with all times divided, so that an hour passes in minutes."""

import re
from collections.abc import Iterator
from typing import Any

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+)([smhd])")
WINDOW = re.compile(r"\[(\d+[smhd])\]")
AGE = re.compile(r"(_seconds(?:\{[^}]*\})?\)*\s*>\s*)(\d+)")  # the limit of an age, and no bucket
WITHOUT = {"jobs"}  # groups whose processes the game day does not run
TIMES = ("for", "keep_firing_for")
MIN_WAIT_S = 10  # of an alert that waits: two or three scrapes, which take as long as in production


def seconds(duration: str) -> float:
    """Return a duration of Prometheus in seconds."""
    return sum(int(number) * UNITS_S[unit] for number, unit in DURATION.findall(duration))


def scale(duration: str, factor: float) -> str:
    """Return a duration divided by the factor, in milliseconds, at least one."""
    return f"{max(1, round(seconds(duration) * 1000 / factor))}ms"


def scale_rules(groups: list[dict[str, Any]], factor: float) -> list[dict[str, Any]]:
    """Return the groups of rules with their windows, waits and ages divided by the factor."""
    return [
        {**without_interval(group), "rules": [scale_rule(rule, factor) for rule in group["rules"]]}
        for group in groups
        if group["name"] not in WITHOUT
    ]


def without_interval(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group that is evaluated as often as the others."""
    return {key: value for key, value in group.items() if key != "interval"}


def scale_rule(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    """Return one rule with its times divided by the factor."""
    expression = WINDOW.sub(lambda found: f"[{scale(found[1], factor)}]", rule["expr"])
    expression = AGE.sub(lambda found: f"{found[1]}{int(found[2]) / factor:g}", expression)
    times = {key: scale(rule[key], min(factor, seconds(rule[key]) / MIN_WAIT_S)) for key in TIMES if key in rule}
    return {**rule, **times, "expr": expression}


def scale_routes(text: str, factor: float) -> str:
    """Return Alertmanager's configuration with its waits divided by the factor."""
    return re.sub(
        r"((?:group_wait|group_interval|repeat_interval): )(\d+[smhd])",
        lambda found: found[1] + scale(found[2], factor),
        text,
    )


def waits_s(rule: dict[str, Any]) -> Iterator[float]:
    """Yield the times, in seconds, that can pass before a rule fires: its wait, its windows and its ages."""
    yield seconds(rule.get("for", "0s"))
    yield max([seconds(window) for window in WINDOW.findall(rule["expr"])], default=0)
    yield max([float(age) for _, age in AGE.findall(rule["expr"])], default=0)
