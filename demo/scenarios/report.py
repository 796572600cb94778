"""The report of a smoke run: its check results and totals as tables for people."""

import textwrap
from collections.abc import Sequence

from demo.fake_stripe.money import format_amount
from demo.scenarios.run import CheckResult
from demo.scenarios.totals import Total

MAX_SHOWN = 40  # characters of a value that is as expected


def results_table(results: Sequence[CheckResult]) -> str:
    """Return the results as an aligned table. Long values are cut if they are as expected, and whole if not."""
    rows = [(r.scenario, r.effect, *_values(r), _verdict(r.ok)) for r in results]
    return _align([("scenario", "effect", "expected", "seen", ""), *rows])


def totals_table(totals: Sequence[Total]) -> str:
    """Return the totals as an aligned table."""
    rows = [
        (total.name, *(_quantity(value, total.currency) for value in (total.stripe, total.orders, total.inventory)))
        for total in totals
    ]
    verdicts = [_verdict(total.ok) for total in totals]
    head = ("total", "at Stripe", "in orders", "in inventory", "")
    return _align([head, *((*row, verdict) for row, verdict in zip(rows, verdicts, strict=True))])


def _align(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths[:-1]))
    return "\n".join(lines)


def _values(result: CheckResult) -> tuple[str, str]:
    expected, seen = _text(result.expected), _text(result.seen)
    return (_cut(expected), _cut(seen)) if result.ok else (expected, seen)


def _cut(text: str) -> str:
    return textwrap.shorten(text, MAX_SHOWN, placeholder=" …")


def _verdict(ok: bool) -> str:
    return "ok" if ok else "WRONG"


def _quantity(value: int | None, currency: str | None) -> str:
    if value is None:
        return ""
    return format_amount(value, currency) if currency else f"{value:,}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
