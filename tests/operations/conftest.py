"""An installation in production form, made by the documented commands in a copy of the repository.

Only `make test-compose` runs these tests. They build and run containers, with a fake Stripe in Stripe's place.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.fake_stripe.client import FakeStripeClient
from demo.shop.mailpit import Mailpit
from demo.system import System

from .documented import ROOT
from .installation import PROJECT, Installation

PORTS = {"checkout": 8001, "webhooks": 8002, "orders": 8003, "inventory": 8004, "notifications": 8005}


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a copy of the repository without settings. Its containers are removed at the end."""
    if os.environ.get("COMPOSE_TESTS") != "1":
        pytest.skip("only `make test-compose` runs it: it builds and runs containers")
    folder = tmp_path_factory.mktemp("installation")
    copy_repository(folder)
    if override := os.environ.get(
        "OPERATIONS_OVERRIDE"
    ):  # for a busy machine: a compose file with slower health checks
        shutil.copy(override, folder / "docker-compose.override.yml")
    installation = Installation(folder)
    # A run that was killed has left its data, which know other passwords.
    installation.run(f"cd / && docker compose --project-name {PROJECT} down -v --timeout 5")  # no settings yet
    try:
        yield installation
    finally:
        if installation.is_configured:
            installation.run("COMPOSE_PROFILES=demo docker compose down -v --timeout 5")


def copy_repository(folder: Path) -> None:
    """Copy the files that Git knows, with their changes."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


@pytest.fixture(scope="session")
def system(installation: Installation) -> System:
    """Return the system at the ports of docker-compose.yml. The test has to start it first."""
    urls = {service: f"http://127.0.0.1:{port}" for service, port in PORTS.items()}
    stripe = FakeStripeClient("http://127.0.0.1:8010")
    return System(urls, installation.OPERATOR_TOKEN, stripe, Mailpit("http://127.0.0.1:8025"))
