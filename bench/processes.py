"""Measured server processes: the CPU time and memory that they and their children use, from /proc."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until

ROOT = Path(__file__).parents[1]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOP_TIMEOUT_S = 15.0
LOG_TAIL_CHARACTERS = 2000  # characters of the log in an error message


class MeasuredProcess:
    """A process whose CPU time and memory are measured together with its children's (its POSIX session)."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def is_running(self) -> bool:
        """Return True if the process has not ended."""
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """Return the CPU time (user and system) of the process and its children so far, in seconds."""
        return sum(sum(int(value) for value in fields[11:15]) for _, fields in self._members()) / TICKS_PER_SECOND

    def pids(self) -> Sequence[int]:
        """Return the ids of the process and its children."""
        return [pid for pid, _ in self._members()]

    def peak_bytes(self) -> int:
        """Return the sum of the processes' peaks of resident memory in bytes. Shared memory counts for each process."""
        return sum(_peak_bytes(pid) for pid, _ in self._members())

    def _members(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the id of each process of the session, with its /proc/PID/stat from field 3 (the state) on."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since the folder was listed
            if int(fields[3]) == self._process.pid:
                yield int(path.parent.name), fields

    def request_stop(self) -> None:
        """Send SIGTERM, and do not wait."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Send SIGTERM and wait. Kill the process and its children if it does not end within `STOP_TIMEOUT_S`."""
        self.request_stop()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, ready: Callable[[], object]
) -> Iterator[MeasuredProcess]:
    """Run `python -m` with this command in the repository's root until the block ends. Yield it when `ready` is true.

    Raises `SystemExit` with the end of the log if the process ends before, and `TimeoutError` if it is never ready.
    """
    with log.open("ab") as output:
        started = _start(command, {**inherited_environment(), "PYTHONUNBUFFERED": "1", **environment}, output)
    process = MeasuredProcess(started)
    with watch("process", str(started.pid), str(log.parent)):  # removes the process if the bench is killed
        try:
            wait_until(lambda: _check_running(process, log) and ready(), what=" ".join(command))
            yield process
        finally:
            process.stop()


def inherited_environment() -> dict[str, str]:
    """Return the variables that measured processes get from this one's environment."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def listens(port: int) -> bool:
    """Return True if a process accepts connections on the port. Raises `OSError` otherwise."""
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


def _check_running(process: MeasuredProcess, log: Path) -> bool:
    if not process.is_running():
        raise SystemExit(
            f"a measured process has ended; its log ends: {log.read_text(errors='replace')[-LOG_TAIL_CHARACTERS:]}"
        )
    return True


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024
