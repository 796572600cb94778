"""Waiting for conditions instead of sleeping; ports that nobody uses."""

import random
import socket
import time
from collections.abc import Callable

START_WITHIN = 180.0  # seconds; a cold RabbitMQ takes eight, on two cores that many others use up to sixty

PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A port that nobody listens on, of those that the kernel gives to no outgoing connection (ip_local_port_range)."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(
    condition: Callable[[], object],
    within: float = START_WITHIN,
    what: str = "the condition",
    *,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Look again every 20 ms until `condition` is true. Raises `TimeoutError` naming `what`, with the last error.

    The time begins anew whenever `progress` gives something else: a busy machine is slow, and only a stuck one stands.
    """
    deadline, problem, reached = time.monotonic() + within, None, progress()
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001 - not there yet; named below when it never comes
            problem = error
        if (now := progress()) != reached:
            deadline, reached = time.monotonic() + within, now
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not come within {within:g} s ({problem})")
