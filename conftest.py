"""The library's fixtures, for every test in the repository; and which tests may run beside each other.

With `-n` each process has servers of its own. What needs the broker stays in one of them: its queues have the same
names for everybody, and a broker takes long to start. What breaks servers stays in one too: faults are told by how
long something takes, and two at a time would slow each other. All else is spread by file.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["events.testing.fixtures"]

BROKER = "broker"
TOGETHER = {  # by how their paths begin; the first that fits
    "broken servers": ("tests/faults/", "tests/cluster/", "libs/events/tests/integration/test_broker_away.py"),
    BROKER: ("libs/events/tests/integration/", "tests/e2e/"),
}
SLOW = ("bench/", "services/orders/")  # begun next, so that nobody waits for them at last

# An example that takes long says nothing on a busy machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    strays = {item.location[0] for item in items if _asks_for_broker(item) and _group(item.nodeid) != BROKER}
    if strays:
        raise pytest.UsageError(f"tests that need the broker must run together: {sorted(strays)} to TOGETHER")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))  # within each, as they were shuffled


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # Not xdist's own loadgroup: 3.8 renames tests for it, which pytest 9 does not heed.
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def _asks_for_broker(item: pytest.Item) -> bool:
    asked: Sequence[str] = getattr(item, "fixturenames", ())
    return "rabbitmq_url" in asked


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    return next((name for name, beginnings in TOGETHER.items() if path.startswith(beginnings)), path)


def _rank(nodeid: str) -> int:
    order = [*TOGETHER]
    group = _group(nodeid)
    if group in order:
        return order.index(group)
    return len(order) + (not nodeid.startswith(SLOW))
