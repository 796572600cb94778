"""An upgrade from the previous release's real code and the way back while customers buy: nothing lost or twice."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from events.testing.fixtures import skip_or_fail
from events.testing.servers.server import ServerStartError

from tests.e2e.processes import ROOT, WITH_DATABASE
from tests.faults.rig import running_rig
from tests.upgrade.previous import NoHistoryError, PreviousRelease, unpack
from tests.upgrade.rollout import PROCESSES, TODAY, Rollout, SteadyCustomers, tables_of

PURCHASES = 10  # in each phase
STALL_TIMEOUT_S = 150.0  # without progress; the third retry of an event comes up to 144 seconds after the second

pytestmark = [
    pytest.mark.timeout(3600),  # the shorter limit above finds what is stuck
    pytest.mark.skipif("UPGRADE" not in os.environ, reason="only `make upgrade` runs it: it needs minutes by itself"),
]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> PreviousRelease:
    try:
        return unpack(tmp_path_factory.mktemp("previous"))
    except NoHistoryError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def rollout(tmp_path: Path, previous: PreviousRelease) -> Iterator[Rollout]:
    """The whole system, with the previous release's code and tables."""
    try:
        with running_rig(tmp_path, Rollout, {"PYTHONPATH": previous.python_path}) as rig:
            yield rig
    except ServerStartError as reason:
        skip_or_fail(reason)


def test_upgrade_and_way_back_under_load_lose_nothing(rollout: Rollout, previous: PreviousRelease) -> None:
    began = time.monotonic()
    for service in WITH_DATABASE:
        assert str(previous.folder) in rollout.code_of(service, previous.python_path)
        assert str(ROOT) in rollout.code_of(service, TODAY)
        released = tables_of(rollout.databases[service])
        assert released == rollout.tables_of_today(service, previous), f"a released revision of {service} has changed"
    with rollout.supervised(), SteadyCustomers(rollout) as customers:

        def log(words: str) -> None:
            print(f"{time.monotonic() - began:7.1f} s: {customers.paid()} purchases {words}")

        buy = partial(customers.wait_for_purchases, PURCHASES, STALL_TIMEOUT_S)
        buy()
        log("on the previous release")
        rollout.migrate()
        buy()
        log("on today's tables")
        for process in PROCESSES:
            rollout.replace(*process, TODAY)
        buy()
        log("on today's release")
        for process in PROCESSES:
            rollout.replace(*process, previous.python_path, probe="/healthz")  # see PREVIOUS_RELEASE
        buy()
        log("on the previous release again")
        rollout.ledger.add(customers.end().wait_until_delivered(STALL_TIMEOUT_S))
        rollout.wait_until_drained(STALL_TIMEOUT_S)
    log(f"{len(rollout.ledger.events)} of Stripe's events; processes that were started again: {dict(rollout.restarts)}")
    assert rollout.auditor.audit(rollout.ledger) == []
