"""A wake-up call between threads."""

import threading


class Signal:
    """`wait` returns as soon as somebody has `set` it since the last wait, or after `timeout` seconds."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def wait(self, timeout: float) -> bool:
        woken = self._event.wait(timeout)
        self._event.clear()
        return woken
