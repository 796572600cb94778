"""An installation as its operator sees it: a folder, a new shell for each command, and the containers' settings."""

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .documented import block

PROJECT = "clozit-operations"  # of Docker Compose
COMMAND_TIMEOUT_S = 1800  # a build on a busy machine


class Installation:
    """The folder of an installation, and functions that run the documented commands in it."""

    OPERATOR_TOKEN = "operator-token-of-ana"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.secret = f"sk_test_{secrets.token_hex(12)}", f"whsec_{secrets.token_hex(12)}"

    @property
    def is_configured(self) -> bool:
        """True once `make configure` has written the settings."""
        return (self.folder / ".env").exists()

    def run(self, script: str, **given: str) -> str:
        """Run a script as in a new shell, whose environment has only what every login has. Return its output."""
        login = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        print(f"$ {script}", flush=True)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**login, **given},
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def run_documented(self, step: tuple[str, str], replaced: Mapping[str, str], **given: str) -> str:
        """Run a documented block after replacing its examples. Each of them must be in it."""
        script = block(*step)
        for example, value in replaced.items():
            assert example in script, (example, script)
            script = script.replace(example, value)
        return self.run(script, **given)

    def containers(self) -> list[dict[str, Any]]:
        """Return the engine's descriptions of all containers of the installation."""
        ids = self.run("COMPOSE_PROFILES=demo docker compose ps -aq").split()
        found: list[dict[str, Any]] = json.loads(self.run(f"docker inspect {' '.join(ids)}"))
        return found

    def settings(self) -> dict[str, list[str]]:
        """Return each service's environment, as its containers have it. All containers of a service have the same."""
        found: dict[str, list[str]] = {}
        for container in self.containers():
            service = container["Config"]["Labels"]["com.docker.compose.service"]
            if container["Config"]["Labels"].get("com.docker.compose.oneoff") == "True":
                continue
            environment = sorted(container["Config"]["Env"] or [])
            assert found.setdefault(service, environment) == environment, service
        return found

    def versions(self) -> set[str]:
        """Return the versions of the images that the services' containers run."""
        return {
            container["Config"]["Image"].partition(":")[2]
            for container in self.containers()
            if container["Config"]["Image"].startswith("clozit/") and container["State"]["Running"]
            if "demo" not in container["Config"]["Image"]
        }

    def running_ids(self) -> set[str]:
        """Return the ids of the running containers."""
        return {container["Id"] for container in self.containers() if container["State"]["Running"]}

    def count(self, service: str) -> int:
        """Return how many containers of a service run."""
        return len(self.run(f"docker compose ps -q {service}").split())
