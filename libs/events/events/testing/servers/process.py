"""A server program on this machine."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from events.testing.servers.server import Unavailable
from events.testing.servers.waiting import wait_until
from events.testing.servers.watchdog import watch

CTL_WITHIN = 60.0  # seconds; rabbitmqctl starts an Erlang of its own


class ProcessServer:
    """`Server` of a program. All that it keeps is in `folder`, which belongs to it alone."""

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
        self._watched = ExitStack()

    def start(self) -> None:
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
        self._watched.enter_context(watch("process", str(self._process.pid), str(self._folder)))
        process, reason = self._process, None
        try:
            wait_until(lambda: process.poll() is not None or self._ready(), what=self._command[0])
        except TimeoutError as error:
            reason = error
        if reason or process.poll() is not None:
            raise Unavailable(
                f"{self._command[0]} does not start: {log.read_text(errors='replace')[-2000:]}"
            ) from reason

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(self._stop)
        self._wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its helpers."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def ctl(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._control, *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=CTL_WITHIN,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
        return done.stdout

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # shell helpers that it left behind
        self._process = None
        self._watched.close()
