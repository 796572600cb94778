"""Server processes under measurement: what they and their children use, from /proc."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from events.testing.servers import wait_until
from events.testing.servers.watchdog import watch

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
STOP_WITHIN = 15.0  # seconds


class Measured:
    """A process that leads a session of its own; its children belong to it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def alive(self) -> bool:
        return self._process.poll() is None

    def cpu(self) -> float:
        """Seconds of user and system time so far."""
        return sum(sum(int(value) for value in fields[11:15]) for _, fields in self._members()) / TICKS

    def peak(self) -> int:
        """The highest resident memory in bytes, of all processes added up: what they share counts for each."""
        return sum(_high_water(pid) for pid, _ in self._members())

    def _members(self) -> Iterator[tuple[int, list[str]]]:
        """Each process of the session, with its /proc/PID/stat from the state on (proc(5) calls that field 3)."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended since the folder was listed
            if int(fields[3]) == self._process.pid:
                yield int(path.parent.name), fields

    def ask_to_stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self.ask_to_stop()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, ready: Callable[[], object]
) -> Iterator[Measured]:
    """`python -m …` from the repository's root until the block ends; `ready` is a condition to wait for."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as output:
        started = _start(command, {**inherited, "PYTHONUNBUFFERED": "1", **environment}, output)
    process = Measured(started)
    with watch("process", str(started.pid), str(log.parent)):  # a bench that is killed leaves nothing running
        try:
            wait_until(lambda: _still(process, log) and ready(), what=" ".join(command))
            yield process
        finally:
            process.stop()


def listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _start(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - our own commands
        [sys.executable, "-m", *command],
        env=dict(environment),
        cwd=ROOT,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _still(process: Measured, log: Path) -> bool:
    if not process.alive():
        raise SystemExit(f"a measured process ended: {log.read_text(errors='replace')[-2000:]}")
    return True


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024
