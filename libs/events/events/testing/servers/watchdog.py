"""Clears away what a test run that was killed from outside would leave running.

Run as a process of its own, which outlives the run: standard input ends when the run is gone. A byte on it dismisses
the watchdog. Imports nothing of the project, so that it starts quickly.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

REMOVED_WITHIN = 5.0  # seconds until the last process of a killed server no longer writes into its folder


@contextlib.contextmanager
def watch(kind: str, *what: str) -> Iterator[None]:
    """Clear away a `process` (its group, its folder) or a `container` (its id) should this process die inside."""
    command = [sys.executable, "-I", __file__, kind, *what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        try:
            yield
        finally:
            watchdog.communicate(b".")


def process(group: str, folder: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(group), signal.SIGKILL)
    deadline = time.monotonic() + REMOVED_WITHIN
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


def container(identity: str) -> None:
    import docker  # type: ignore[import-untyped]

    with contextlib.suppress(docker.errors.NotFound):
        docker.from_env().containers.get(identity).remove(force=True, v=True)


if __name__ == "__main__" and not sys.stdin.buffer.read(1):
    if sys.argv[1] == "process":
        process(*sys.argv[2:])
    else:
        container(*sys.argv[2:])
