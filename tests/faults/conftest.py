"""One rig for all faults, replaced after a test that failed; and the report of the run."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import psycopg
import pytest
from events.testing.fixtures import skip_or_fail
from events.testing.servers.server import ServerStartError

from tests.faults.report import Report
from tests.faults.rig import SEED, Rig, running_rig

HAS_FAILED = pytest.StashKey[bool]()  # of a test's own part, without its fixtures


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report(SEED)
    yield made
    print(f"\n{made.text()}")
    if path := os.environ.get("FAULTS_REPORT"):
        Path(path).write_text(made.text())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    outcome = yield
    if call.when == "call":
        item.stash[HAS_FAILED] = outcome.failed
    return outcome


@pytest.fixture(scope="session")
def rigs(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator["Rigs"]:
    print(f"\nFAULTS_SEED={SEED}")
    with ExitStack() as stack:
        yield Rigs(tmp_path_factory, report, stack)


@pytest.fixture
def rig(request: pytest.FixtureRequest, rigs: "Rigs") -> Iterator[Rig]:
    try:
        yield rigs.current()
    except ServerStartError as reason:
        skip_or_fail(reason)
    if request.node.stash.get(HAS_FAILED, True):
        rigs.discard()


class Rigs:
    """The rig that all tests share. After a failed test, events may be in flight, so the next test gets a new rig."""

    def __init__(self, folders: pytest.TempPathFactory, report: Report, stack: ExitStack) -> None:
        self._folders, self._report, self._stack = folders, report, stack
        self._rig: Rig | None = None

    def current(self) -> Rig:
        """Return the running rig; start one if there is none."""
        if self._rig is None:
            self._rig = self._stack.enter_context(running_rig(self._folders.mktemp("faults"), Rig))
            self._report.versions = {
                "PostgreSQL": _postgresql_version(self._rig),
                "RabbitMQ": _rabbitmq_version(self._rig),
            }
        return self._rig

    def discard(self) -> None:
        """Stop the running rig."""
        self._rig = None
        self._stack.close()


def _postgresql_version(rig: Rig) -> str:
    with psycopg.connect(rig.postgres.url) as connection:
        version = connection.info.server_version
    return f"{version // 10_000}.{version % 10_000}"


def _rabbitmq_version(rig: Rig) -> str:
    connection = pika.BlockingConnection(pika.URLParameters(rig.broker.url))
    try:
        return str(connection._impl.server_properties["version"])
    finally:
        connection.close()
