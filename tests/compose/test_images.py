"""What the images of the services hold, and what not."""

import subprocess
from typing import Any

import pytest

from demo.system import System

from .containers import SERVICES, inspect, running

BASE = "python:3.13-slim"
OWN_BYTES = 78_000_000  # on a base of some 120 MB: an image stays below 200 MB
LABELS = {"title", "version", "revision", "licenses"}
SEARCH = "command -v gcc cc make; ls -d ~root/.cache /tmp/* /src /wheels /build /run/secrets 2>/dev/null; true"

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("system")]


@pytest.fixture(scope="module", params=SERVICES)
def image(request: pytest.FixtureRequest, system: System) -> dict[str, Any]:
    [found] = inspect("image", f"clozit/{request.param}:dev")
    return found


def test_image_adds_little_to_its_base(image: dict[str, Any]) -> None:
    [base] = inspect("image", BASE)

    assert image["Size"] - base["Size"] < OWN_BYTES


def test_image_says_what_it_is_and_how_it_runs(image: dict[str, Any]) -> None:
    config = image["Config"]

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["service"], ["web"])
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert {f"org.opencontainers.image.{label}" for label in LABELS} <= config["Labels"].keys()
    assert "unknown" not in config["Labels"].values(), "the revision it was built from"


def test_image_holds_no_compiler_cache_or_source(image: dict[str, Any]) -> None:
    command = ["docker", "run", "--rm", "--user", "0", "--entrypoint", "sh", image["Id"], "-c", SEARCH]

    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_containers_write_nowhere_but_to_their_tmp() -> None:
    ours = [row["Name"] for row in running() if row["Image"].startswith("clozit/")]
    for container in inspect("container", *ours):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], container["Name"]
        assert host["CapDrop"] == ["ALL"], container["Name"]
        assert host["Tmpfs"].keys() == {"/tmp"}, container["Name"]  # noqa: S108 - the container's
        assert container["Config"]["User"].startswith("10001"), container["Name"]
