"""The system that most modules use: all services in this process, with the demo's settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.embedded import embedded_system
from demo.ports import Ports
from demo.system import System
from tests.e2e.shopper import TEE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the system's databases."""
    return tmp_path_factory.mktemp("system")


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    with embedded_system(folder, Ports.find_free()) as running:
        yield running


@pytest.fixture(scope="module")
def many_shirts(system: System) -> None:
    """Deliver more T-shirts than a module's customers buy."""
    delivery = {"adjust": 200, "reason": "a delivery"}
    key = {"Idempotency-Key": "delivery"}
    system.operate("POST", "inventory", f"/stock/{TEE}/movements", delivery, **key).raise_for_status()
