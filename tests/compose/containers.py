"""Docker Compose as an operator uses it, and the containers that it runs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
PROMETHEUS = f"http://127.0.0.1:{os.environ.get('PROMETHEUS_PORT', '9090')}/api/v1"
CONSUMERS = ("checkout", "orders", "inventory", "notifications")


def compose(*arguments: str, **settings: str) -> str:
    """Run a `docker compose` command and return its output. `settings` are the compose file's variables."""
    done = run_compose(*arguments, **settings)
    assert done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done.stdout


def run_compose(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a `docker compose` command and return the completed process, also if it failed."""
    command = ["docker", "compose", *arguments]
    environment = {**os.environ, **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)


def running() -> list[dict[str, Any]]:
    """Return the line of `docker compose ps` for each running container."""
    return [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]


def inspect(kind: str, *names: str) -> list[dict[str, Any]]:
    """Return the engine's descriptions of images or containers."""
    command = ["docker", kind, "inspect", *names]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def python(container: str, script: str, *arguments: str) -> str:
    """Run a script in a service's container and return the last line that it prints."""
    done = compose("exec", "-T", container, "python", "-c", script, *arguments)
    return done.strip().rpartition("\n")[2]
