"""The library's fixtures for all tests, blocked sockets, and the groups of tests that run in parallel.

A unit test that opens a socket fails. Tests that use a server are marked `servers`, and `make check` leaves them out.

With `-n`, each process has its own servers. Tests that need the broker run in two processes, the library's and those of
the whole system: its queues have fixed names, and a broker starts slowly. Tests that break servers run in another: they
measure times, and two at once would slow each other down. All other tests are distributed by file. In each group a
folder's tests run together, so that they can share a fixture.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["events.testing.fixtures"]

BROKER = ("broker", "whole system")  # the groups that have a broker
GROUPS = {  # by the beginnings of their paths; the first match counts
    "broken servers": (
        "tests/faults/",
        "tests/gameday/",
        "tests/upgrade/",
        "tests/cluster/",
        "libs/events/tests/integration/test_broker_outage.py",
    ),
    "whole system": ("tests/e2e/", "tests/fuzz/"),
    "broker": ("libs/events/tests/integration/", "services/webhooks/tests/integration/test_watermark.py"),
}
UNIT = "/tests/unit/"  # the folder of every unit suite
SERVERS = ("postgres_url", "rabbitmq_url")  # the fixtures of all shared servers
SLOW = ("bench/", "services/orders/")  # they start right after the groups, so that no process waits for them at the end

# The time of an example is not checked: on a busy machine it says nothing.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by the markers that are added here
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests and sort them. Raises `UsageError` for a test that uses the broker outside its group."""
    for item in items:
        if UNIT in item.nodeid:
            item.add_marker(pytest.mark.disable_socket)
        if any(_uses(item, server) for server in SERVERS):
            item.add_marker(pytest.mark.servers)
    misplaced = {
        item.location[0] for item in items if _uses(item, "rabbitmq_url") and _group(item.nodeid) not in BROKER
    }
    if misplaced:
        raise pytest.UsageError(f"tests that use the broker must be in its groups: add {sorted(misplaced)} to GROUPS")
    items.sort(key=lambda item: _rank(item.nodeid))  # a stable sort: within a folder they stay shuffled


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler that keeps each group in one process.

    xdist's own loadgroup renames tests, and pytest 9 ignores the new names (xdist 3.8).
    """
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def _uses(item: pytest.Item, fixture: str) -> bool:
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    return fixture in fixtures


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    return next((name for name, beginnings in GROUPS.items() if path.startswith(beginnings)), path)


def _rank(nodeid: str) -> tuple[int, str]:
    order = [*GROUPS]
    group = _group(nodeid)
    if group in order:
        return order.index(group), str(PurePosixPath(nodeid.partition("::")[0]).parent)
    return len(order) + (not nodeid.startswith(SLOW)), ""
