"""The commands of docs/operations.md need no variable of the shell: what they set is in .env for the next command.

`make test-compose` runs them; these are the checks that need no engine.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operations.documented import COMPOSE_SECTIONS, ROOT, blocks
from tests.operations.steps import NOT_RUN, RUN

from .configuring import ANSWERS, Installation, configuration

OF_COMPOSE = {*re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()), "PROFILES"}
ASSIGNED = re.compile(r"(?:^|\s|;)(?:export\s+)?([A-Z][A-Z_]+)=")
REQUIRED = [*configuration().REQUIRED, "STRIPE_API_BASE"]


def commands() -> Iterator[str]:
    """Yield each documented command of Compose and make, with its lines joined."""
    for section in COMPOSE_SECTIONS:
        for block in blocks(section):
            yield from block.replace("\\\n", " ").splitlines()


def test_every_documented_command_is_run_or_says_why_not() -> None:
    known = [*(text for _, text in RUN), *NOT_RUN]
    documented = [(section, block) for section in COMPOSE_SECTIONS for block in blocks(section)]

    assert len(documented) >= 12
    assert [pair for pair in documented if not any(text in pair[1] for text in known)] == []
    assert [text for text in known if not any(text in block for _, block in documented)] == []


def test_no_documented_compose_command_has_settings_in_the_shell() -> None:
    """Such a setting would be unknown to the next command, which then would replace the containers."""
    for command in commands():
        if OF_COMPOSE & set(ASSIGNED.findall(command.split("#")[0])):
            assert command.lstrip().startswith(("make configure", "make up PROFILES=")), command  # both write .env
    assert not [command for command in commands() if re.search(r"\bexport\b(?!.*\bSTRIPE_API_KEY=)", command)]


@pytest.fixture
def production(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path)
    done = installation.configure(**ANSWERS)
    assert done.returncode == 0, done.stderr
    return installation


@pytest.fixture
def compose(production: Installation) -> Any:
    """Run `docker compose config` as a clean shell does. The client alone is enough for it."""
    if (docker := shutil.which("docker")) is None:
        pytest.skip("docker is not installed")
    if subprocess.run([docker, "compose", "version"], check=False, capture_output=True).returncode:
        pytest.skip("docker has no plugin compose")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [docker, "compose", *arguments]
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
        return subprocess.run(command, cwd=production.folder, env=clean, check=False, capture_output=True, text=True)

    return run


def environments(printed: str) -> dict[str, Any]:
    return {name: spec.get("environment") for name, spec in json.loads(printed)["services"].items()}


def test_clean_shell_has_the_settings_that_were_configured(compose: Any, production: Installation) -> None:
    done = compose("config", "--format", "json")
    assert done.returncode == 0, done.stderr
    before = environments(done.stdout)

    assert before["webhooks"]["LIVEMODE"] == "true"
    assert before["checkout"]["SHOP_URL"] == "https://shop.example"
    assert before["orders"]["STRIPE_API_BASE"] == "https://api.stripe.com"
    assert before["notifications-worker"]["MAIL_FROM"] == "Clozit <orders@shop.example>"
    assert not {"mailpit", "fake-stripe", "shop"} & before.keys()
    for given in ({"ORDERS_WORKER_SCALE": "4", "WEBHOOKS_SCALE": "3"}, {"VERSION": "0.2.0"}):
        assert production.configure(**given).returncode == 0
        assert environments(compose("config", "--format", "json").stdout) == before
    services = json.loads(compose("config", "--format", "json").stdout)["services"]
    assert services["orders-worker"]["deploy"]["replicas"] == 4
    assert services["orders-worker"]["image"] == "clozit/orders:0.2.0"


@pytest.mark.parametrize("name", REQUIRED)
def test_compose_without_a_setting_says_run_make_configure(compose: Any, production: Installation, name: str) -> None:
    file = production.folder / ".env"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith(f"{name}=")))

    done = compose("ps")
    assert done.returncode != 0
    assert "run make configure" in done.stderr
    assert name in done.stderr


def test_compose_file_has_a_default_for_no_required_setting() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in REQUIRED:
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", text)) == {":?run make configure"}, name
