"""The log of rejected webhooks: its limit, its numbers, and the client's address."""

from collections.abc import Callable

import pytest
from webhooks.errors import RejectedEventError
from webhooks.rejections import LINES_PER_PERIOD, PERIOD_S, RejectionLog

ERROR = RejectedEventError("bad-signature", "Check the secret.")


class Clock:
    """A clock that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_flood_is_logged_up_to_the_limit_and_then_counted(clock: Clock, logged: Callable[[], str]) -> None:
    rejections = RejectionLog(clock)
    for _ in range(LINES_PER_PERIOD + 500):
        rejections.add(ERROR, "192.0.2.9")
    clock.now += PERIOD_S
    rejections.add(ERROR, "192.0.2.10")

    lines = logged().splitlines()
    assert len([line for line in lines if "webhook rejected" in line]) == LINES_PER_PERIOD + 1
    [summary] = [line for line in lines if "more webhooks rejected than logged" in line]
    assert "500" in summary


def test_line_has_reason_and_client(clock: Clock, logged: Callable[[], str]) -> None:
    RejectionLog(clock).add(ERROR, "192.0.2.9")

    text = logged()
    assert all(part in text for part in ("bad-signature", "Check the secret.", "192.0.2.9"))
