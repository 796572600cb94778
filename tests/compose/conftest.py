"""The system that `make up` starts, once for all of these tests; `make test-compose` asks for them."""

import os
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from events.testing.servers import wait_until

from demo.composed import composed_system
from demo.scenarios.run import CheckResult
from demo.scenarios.suite import run_all
from demo.system import System

from .containers import PROMETHEUS, ROOT, compose


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
        wait_until(everything_is_seen, 60, "Prometheus's first look at each process")
        yield composed_system()
    finally:
        subprocess.run(["make", "down", "VOLUMES=-v"], cwd=ROOT, check=True, capture_output=True)


def everything_is_seen() -> bool:
    """From here on counters grow; what Prometheus sees for the first time has not grown, whatever it counts."""
    targets = httpx.get(f"{PROMETHEUS}/targets").raise_for_status().json()["data"]["activeTargets"]
    return bool(targets) and all(target["health"] == "up" for target in targets)


@pytest.fixture(scope="session")
def played(system: System) -> list[CheckResult]:
    """What came of every kind of purchase."""
    return run_all(system)
