"""Tables for the terminal and for bench/results, and a description of the machine."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.options import Options

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("granian", "flask", "stripe", "pika", "kombu", "gunicorn", "sqlalchemy", "psycopg")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(_padded(line, widths)) + " |" for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]


def machine(broker: str, database: str) -> str:
    """Return a sentence about machine and software. `broker` and `database` are versions with settings."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()}), load {load:.1f} before;"
        f" Python {platform.python_version()}, RabbitMQ {broker}, PostgreSQL {database}; {packages}."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def milliseconds(seconds: float) -> str:
    """Return a time in seconds as a text of milliseconds, with one decimal."""
    return f"{seconds * 1000:.1f}"


def publish(name: str, text: str, options: Options) -> None:
    """Print a report, and write it to this file of bench/results if the options say so."""
    print(f"\n{text}\n")
    if options.write:
        (RESULTS / name).write_text(text + "\n")
