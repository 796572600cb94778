"""The images of the services: their size, their labels, and the files that they must not contain."""

import subprocess
from typing import Any

import pytest

from demo.system import System

from .containers import SERVICES, inspect, running

BASE_IMAGE = "python:3.13-slim"
SIZE_LIMIT_BYTES = 78_000_000  # above a base of some 120 MB: an image stays below 200 MB
LABELS = {"title", "version", "revision", "licenses"}
SEARCH = """
command -v gcc cc make
ls -d ~root/.cache /tmp/* /src /wheels /build /run/secrets 2>/dev/null
find /app -path '*/events/testing' -o -path '*/site-packages/tools'
"""

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("system")]


@pytest.fixture(scope="module", params=SERVICES)
def image(request: pytest.FixtureRequest, system: System) -> dict[str, Any]:
    [found] = inspect("image", f"clozit/{request.param}:dev")
    return found


def test_image_is_not_much_larger_than_its_base(image: dict[str, Any]) -> None:
    [base] = inspect("image", BASE_IMAGE)

    assert image["Size"] - base["Size"] < SIZE_LIMIT_BYTES


def test_image_has_labels_user_and_command(image: dict[str, Any]) -> None:
    config = image["Config"]

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["service"], ["web"])
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert {f"org.opencontainers.image.{label}" for label in LABELS} <= config["Labels"].keys()
    assert "unknown" not in config["Labels"].values(), "the label must name the revision"


def test_image_contains_no_compiler_cache_source_or_tests(image: dict[str, Any]) -> None:
    command = ["docker", "run", "--rm", "--user", "0", "--entrypoint", "sh", image["Id"], "-c", SEARCH]

    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""


def test_containers_can_write_only_to_their_tmp() -> None:
    ours = [row["Name"] for row in running() if row["Image"].startswith("clozit/")]
    for container in inspect("container", *ours):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], container["Name"]
        assert host["CapDrop"] == ["ALL"], container["Name"]
        assert host["Tmpfs"].keys() == {"/tmp"}, container["Name"]  # noqa: S108 - the container's
        assert container["Config"]["User"].startswith("10001"), container["Name"]
