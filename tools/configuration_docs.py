"""Generator of docs/configuration.md: every setting that the services read, with its default; run by `make docs`."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import MISSING
from datetime import timedelta
from pathlib import Path
from typing import Any

from events.config import Setting, settings

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each process reads its settings from the environment, once at start. If some are missing or invalid, it"
    yield "names all of them and exits 2. `NAME_FILE` can name a file that has the value of `NAME`; use it for secrets"
    yield "(†). `OTEL_EXPORTER_OTLP_ENDPOINT` turns traces on. OpenTelemetry's other variables work as well."
    for service in SERVICES:
        yield ""
        yield f"## {service}"
        yield ""
        yield "| variable | default | meaning |"
        yield "|---|---|---|"
        for each in read_settings(service):
            mark = " †" if each.is_secret else ""
            description = each.description.replace("|", "\\|")  # a plain one would end the cell
            yield f"| `{each.variable}`{mark} | {_default(each.default)} | {description} |"


def read_settings(service: str) -> list[Setting]:
    """Return the settings that a service reads, in the order of its `Config`."""
    return [*settings(importlib.import_module(f"{service}.config").Config).values()]


def _default(value: Any) -> str:
    if value is MISSING:
        return "**required**"
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if value not in ("", ()) else ""


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"docs/{PAGE.name}\n")
