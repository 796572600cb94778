"""The composed system, which `make up` starts once for all these tests. Only `make test-compose` runs them."""

import os
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from events.testing.waiting import wait_until

from demo.composed import composed_system
from demo.scenarios.run import CheckResult
from demo.scenarios.suite import run_all
from demo.system import System

from .containers import PROMETHEUS, ROOT, compose


@pytest.fixture(scope="session", autouse=True)
def only_on_request() -> None:
    if os.environ.get("COMPOSE_TESTS") != "1":
        pytest.skip("only `make test-compose` runs it: it builds and runs containers")


@pytest.fixture(scope="session")
def system(only_on_request: None) -> Iterator[System]:
    try:
        started = subprocess.run(["make", "up"], cwd=ROOT, check=False, capture_output=True, text=True)
        assert started.returncode == 0, started.stderr[-2000:]
        compose("--profile", "observe", "up", "-d", "--no-deps", "--wait", "prometheus")
        wait_until(is_every_process_scraped, 60, "Prometheus's first scrape of each process")
        yield composed_system()
    finally:
        subprocess.run(["make", "down", "VOLUMES=-v"], cwd=ROOT, check=True, capture_output=True)


def is_every_process_scraped() -> bool:
    """Return True once Prometheus has scraped each process. It shows no growth of a counter before its first scrape.

    PostgreSQL's exporter is not started here.
    """
    targets = httpx.get(f"{PROMETHEUS}/targets").raise_for_status().json()["data"]["activeTargets"]
    healths = {target["health"] for target in targets if target["labels"]["job"] != "postgres"}
    return healths == {"up"}


@pytest.fixture(scope="session")
def results(system: System) -> list[CheckResult]:
    """Run every kind of purchase and return the results."""
    return run_all(system)
