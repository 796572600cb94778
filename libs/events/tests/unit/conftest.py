"""Fixtures of the unit tests: the golden documents, and logging restored after each test."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

CONTRACTS = Path(__file__).parents[1] / "contracts"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore the root logger after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="session")
def golden() -> Mapping[tuple[str, int], dict[str, Any]]:
    """Return the golden documents by (type, version)."""
    return {_key(path): json.loads(path.read_text(encoding="utf-8")) for path in CONTRACTS.glob("*.json")}


def _key(path: Path) -> tuple[str, int]:
    event_type, _, version = path.stem.rpartition(".v")
    return event_type, int(version)
