"""The launcher of `make dev`: what it does after a change, and what it prints."""

import threading
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest

from demo.shop.mailbox import Mailbox
from tools import dev


class RecordedProcesses(dev.Processes):
    """Processes that only record the calls. The preparation fails `failures` times, and a start ends the run."""

    def __init__(self, failures: int) -> None:
        super().__init__("orders", {}, Path())
        self.calls: list[str] = []
        self.over = threading.Event()
        self._failures = failures

    def prepare(self) -> None:
        self.calls.append("prepare")
        if self.calls.count("prepare") <= self._failures:
            raise CalledProcessError(1, self._command("migrate"))

    def start(self) -> None:
        self.calls.append("start")
        if "stop" in self.calls:
            self.over.set()

    def stop(self) -> None:
        self.calls.append("stop")


def run(processes: RecordedProcesses, changed: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run the launcher with one change of a file of orders, and return the calls after this change."""
    changes: Any = [{("modified", str(dev.ROOT / "services/orders/orders" / changed))}]
    monkeypatch.setattr(dev, "watch", lambda *_folders, **_options: iter(changes))
    launcher = dev.Launcher(processes, ["http://127.0.0.1:1"], Mailbox(), processes.over)
    monkeypatch.setattr(launcher, "_is_ready", lambda: True)
    launcher.run([])
    return processes.calls[processes.calls.index("stop") :]


def test_failed_preparation_is_repeated_after_any_change(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(RecordedProcesses(1), "models/orders.py", monkeypatch) == ["stop", "prepare", "start"]
    assert capsys.readouterr().err == "orders migrate failed. Correct the code and save it to try again.\n"


@pytest.mark.parametrize(
    ("changed", "calls"),
    [("api.py", ["stop", "start"]), ("migrations/versions/0002_x.py", ["stop", "prepare", "start"])],
)
def test_change_prepares_again_only_for_a_migration(
    changed: str, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(RecordedProcesses(0), changed, monkeypatch) == calls
