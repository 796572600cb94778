"""Servers that tests start: they stop with the run, even when it is killed."""

import subprocess
import sys
from pathlib import Path

from events.testing.waiting import wait_until

RUN = """
import signal, sys
from pathlib import Path
from events.testing.servers.process import ProcessServer
folder = Path(sys.argv[1])
program = ["sh", "-c", 'sleep 600 & echo $$ >"$0/pid"; wait', str(folder)]
server = ProcessServer("", program, folder, ready=(folder / "pid").exists, stop=signal.SIGTERM)
server.start()
print("started", flush=True)
signal.pause()
"""


def test_server_of_a_killed_run_is_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", RUN, str(folder)], stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == "started\n"
            wait_until((folder / "pid").read_text)
            group = int((folder / "pid").read_text())
            assert _processes(group) == 2
        finally:
            run.kill()
    wait_until(lambda: not folder.exists() and _processes(group) == 0, 30, "the end of the server")


def _processes(group: int) -> int:
    """Return the number of running processes in the group, without zombies."""
    states = [
        stat.read_text().rpartition(")")[2].split() for stat in Path("/proc").glob("[0-9]*/stat") if stat.exists()
    ]
    return sum(int(state[2]) == group and state[0] != "Z" for state in states)
