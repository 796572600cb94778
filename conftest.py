"""The library's fixtures, for every test in the repository; blocked sockets; and which tests may run beside each other.

A unit test that opens a socket fails. Tests that ask for a server are marked `servers`: `make check` leaves them out.

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
    "broken servers": ("tests/faults/", "tests/cluster/", "libs/events/tests/integration/test_broker_outage.py"),
    BROKER: ("libs/events/tests/integration/", "tests/e2e/"),
}
UNIT = "/tests/unit/"  # the folder of every unit suite
SERVERS = ("postgres_url", "rabbitmq_url")  # the fixtures from which every shared server comes
SLOW = ("bench/", "services/orders/")  # begun next, so that nobody waits for them at last

# An example that takes long says nothing on a busy machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by the markers that are added here
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if UNIT in item.nodeid:
            item.add_marker(pytest.mark.disable_socket)
        if any(_asks_for(item, server) for server in SERVERS):
            item.add_marker(pytest.mark.servers)
    strays = {item.location[0] for item in items if _asks_for(item, "rabbitmq_url") and _group(item.nodeid) != BROKER}
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


def _asks_for(item: pytest.Item, fixture: str) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return fixture in fixtures


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    return next((name for name, beginnings in TOGETHER.items() if path.startswith(beginnings)), path)


def _rank(nodeid: str) -> int:
    order = [*TOGETHER]
    group = _group(nodeid)
    if group in order:
        return order.index(group)
    return len(order) + (not nodeid.startswith(SLOW))
