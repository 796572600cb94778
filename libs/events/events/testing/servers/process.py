"""A server that is a program on this machine."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from events.testing.servers.server import ServerStartError
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until

CTL_TIMEOUT_S = 60.0  # rabbitmqctl starts its own Erlang machine
STOP_TIMEOUT_S = 20.0  # a normal shutdown takes a second or two
LOG_TAIL_CHARACTERS = 2000  # characters of the log in an error message


class ProcessServer:
    """A `Server` that runs a program. Its data and log are in `folder`, which is used for nothing else."""

    def __init__(
        self,
        url: str,
        command: Sequence[str],
        folder: Path,
        *,
        ready: Callable[[], object],
        stop: signal.Signals,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        control: str = "",
    ) -> None:
        self.url = url
        self._command, self._folder, self._ready, self._stop = command, folder, ready, stop
        self._user, self._environment, self._control = user, environment, control
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog = ExitStack()

    def start(self) -> None:
        """Start the program and wait until it answers. Raises `ServerStartError` with the end of its log."""
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=output,
                user=self._user,
                env=self._environment,
                start_new_session=True,
                cwd="/",
            )
        self._watchdog.enter_context(watch("process", str(self._process.pid), str(self._folder)))
        process, reason = self._process, None
        try:
            wait_until(lambda: process.poll() is not None or self._ready(), what=self._command[0])
        except TimeoutError as error:
            reason = error
        if reason or process.poll() is not None:
            tail = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
            raise ServerStartError(f"{self._command[0]} does not start: {tail}") from reason

    def stop(self) -> None:
        """Stop the program by its normal shutdown, and kill it after `STOP_TIMEOUT_S`. Do nothing if it has stopped."""
        if self._process is None:
            return
        self._process.send_signal(self._stop)
        self._wait()

    def kill(self) -> None:
        """Send SIGKILL and wait until the program has ended."""
        self.signal(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """Suspend the program and all its helpers, and wait until none of their threads runs."""
        family = self._signal_all(signal.SIGSTOP)
        wait_until(lambda: all(_is_suspended(pid) for pid in family), what=f"{self._command[0]} to be suspended")

    def thaw(self) -> None:
        """Resume the program and all its helpers after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Send a signal to the program and everything that it started, parents first, and return their process IDs.

        A signal to the process group would miss PostgreSQL's sessions, which have separate groups.
        """
        if self._process is None:
            return []
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        parents = [(int(pid), int(parent)) for pid, parent in map(str.split, listed.splitlines())]
        family = [self._process.pid]
        for member in family:
            with suppress(ProcessLookupError):
                os.kill(member, number)
            family += [pid for pid, parent in parents if parent == member]
        return family

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and the helpers in its process group. Do nothing if the program was stopped.

        Helpers with separate groups, such as PostgreSQL's sessions, do not get it. `freeze` and `thaw` reach them, too.
        """
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def ctl(self, *arguments: str) -> str:
        """Run the server's control program (rabbitmqctl) and return its output.

        Raises `CalledProcessError` if it fails, and `TimeoutExpired` after `CTL_TIMEOUT_S`.
        """
        done = subprocess.run(
            [self._control, *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=CTL_TIMEOUT_S,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
        return done.stdout

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # helper processes that outlived the program
        self._process = None
        self._watchdog.close()


def _is_suspended(pid: int) -> bool:
    """Return True if every thread of a process is suspended or has ended.

    SIGSTOP is handled by one of the threads; on a busy machine the others run on until it has had its turn.
    """
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            states.append(thread.read_text().rpartition(")")[2].split()[0])
    return all(state in "TZX" for state in states)
