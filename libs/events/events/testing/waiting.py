"""Waiting for a condition, with a limit on the time without progress. Tests do not sleep."""

import time
from collections.abc import Callable

START_TIMEOUT_S = 180.0  # a RabbitMQ starts in eight seconds, and on two busy cores in up to sixty
POLL_S = 0.02  # seconds between checks: a test notices a result at once, and a busy machine has time for it


def wait_until(
    condition: Callable[[], object],
    within: float = START_TIMEOUT_S,
    what: str = "the condition",
    *,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Wait until `condition` returns a true value; its errors count as false.

    Raises `TimeoutError` with `what` and the last error when `within` seconds have passed. The time starts again
    whenever `progress` returns another value, because a busy machine is slow but still makes progress.
    """
    deadline, problem, reached = time.monotonic() + within, None, progress()
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001 - the message below names it if the condition stays false
            problem = error
        if (now := progress()) != reached:
            deadline, reached = time.monotonic() + within, now
        time.sleep(POLL_S)
    raise TimeoutError(f"timed out after {within:g} s without progress, waiting for {what} (last error: {problem})")
