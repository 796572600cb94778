"""Waiting for conditions instead of sleeping; ports that nobody uses."""

import socket
import time
from collections.abc import Callable

START_WITHIN = 60.0  # seconds; a cold RabbitMQ on a busy two-core machine takes up to thirty


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], within: float = START_WITHIN, what: str = "the condition") -> None:
    """Look again every 20 ms until `condition` is true. Raises `TimeoutError` naming `what`, with the last error."""
    deadline, problem = time.monotonic() + within, None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001 - not there yet; named below when it never comes
            problem = error
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not come within {within:g} s ({problem})")
