"""The system that `make up` starts, once for all of these tests; `make test-compose` asks for them."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from demo.playing import Finding
from demo.remote import composed
from demo.scenarios import play_all
from demo.system import System

from .containers import ROOT, compose


@pytest.fixture(scope="session", autouse=True)
def asked_for() -> None:
    if os.environ.get("COMPOSE_TESTS") != "1":
        pytest.skip("builds and runs containers: make test-compose")


@pytest.fixture(scope="session")
def system(asked_for: None) -> Iterator[System]:
    try:
        started = subprocess.run(["make", "up"], cwd=ROOT, check=False, capture_output=True, text=True)
        assert started.returncode == 0, started.stderr[-2000:]
        compose("--profile", "observe", "up", "-d", "--no-deps", "--wait", "prometheus")
        yield composed()
    finally:
        subprocess.run(["make", "down", "VOLUMES=-v"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="session")
def played(system: System) -> list[Finding]:
    """What came of every kind of purchase."""
    return play_all(system)
