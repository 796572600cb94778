"""A watchdog that removes the servers of a test run that was killed.

It is a separate process and outlives the run: its standard input ends when the run has ended. A byte on standard input
dismisses it. It imports no other module of the project, so that it starts quickly.
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

REMOVAL_TIMEOUT_S = 5.0  # the last process of a killed server may still write into its folder


@contextlib.contextmanager
def watch(kind: str, *what: str) -> Iterator[None]:
    """Start a watchdog for a `process` (its group and folder) or a `container` (its id), for a block.

    If this process dies in the block, the watchdog kills the group and deletes its folder, or removes the container.
    """
    command = [sys.executable, "-I", __file__, kind, *what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watchdog:
        try:
            yield
        finally:
            watchdog.communicate(b".")


def remove_process(group: str, folder: str) -> None:
    """Kill a process group and delete its folder."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(group), signal.SIGKILL)
    deadline = time.monotonic() + REMOVAL_TIMEOUT_S
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


def remove_container(container_id: str) -> None:
    """Remove a Docker container and its volumes."""
    import docker  # type: ignore[import-untyped]

    with contextlib.suppress(docker.errors.NotFound):
        docker.from_env().containers.get(container_id).remove(force=True, v=True)


if __name__ == "__main__" and not sys.stdin.buffer.read(1):
    if sys.argv[1] == "process":
        remove_process(*sys.argv[2:])
    else:
        remove_container(*sys.argv[2:])
