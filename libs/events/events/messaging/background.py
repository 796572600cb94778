"""One thread for work that may block, so that its caller can keep a connection alive meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")


class Background:
    """A thread that runs one call after another. It is a daemon: a call that never returns does not block the exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], Result]) -> "Future[Result]":
        """Queue a call behind the earlier ones and return its future at once."""
        future: Future[Result] = Future()

        def step() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                future.set_exception(error)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._steps.put(step)
        return future

    def close(self) -> None:
        """Let the thread end after the queued calls. Return without waiting for it."""
        self._steps.put(None)
        self._thread = None

    def _run(self) -> None:
        while (step := self._steps.get()) is not None:
            step()
