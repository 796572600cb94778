"""One fleet for all faults, until one of them finds it wanting; and their report."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import psycopg
import pytest
from events.testing.fixtures import skip_or_fail
from events.testing.servers import Unavailable

from tests.faults.bench import SEED, Bench, running
from tests.faults.report import Report

FAILED = pytest.StashKey[bool]()  # whether a test's own part did


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
        item.stash[FAILED] = outcome.failed
    return outcome


@pytest.fixture(scope="session")
def benches(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator["Benches"]:
    print(f"\nFAULTS_SEED={SEED}")
    with ExitStack() as stack:
        yield Benches(tmp_path_factory, report, stack)


@pytest.fixture
def bench(request: pytest.FixtureRequest, benches: "Benches") -> Iterator[Bench]:
    try:
        yield benches.sound_one()
    except Unavailable as reason:
        skip_or_fail(reason)
    if request.node.stash.get(FAILED, True):
        benches.discard()


class Benches:
    """A test that fails may leave events on their way, which the next one's audit would find: that gets another."""

    def __init__(self, folders: pytest.TempPathFactory, report: Report, stack: ExitStack) -> None:
        self._folders, self._report, self._stack = folders, report, stack
        self._current: Bench | None = None

    def sound_one(self) -> Bench:
        if self._current is None:
            self._current = self._stack.enter_context(running(self._folders.mktemp("faults")))
            self._report.versions = {"PostgreSQL": _postgresql(self._current), "RabbitMQ": _rabbitmq(self._current)}
        return self._current

    def discard(self) -> None:
        self._current = None
        self._stack.close()


def _postgresql(bench: Bench) -> str:
    with psycopg.connect(bench.postgres.url) as connection:
        version = connection.info.server_version
    return f"{version // 10_000}.{version % 10_000}"


def _rabbitmq(bench: Bench) -> str:
    connection = pika.BlockingConnection(pika.URLParameters(bench.broker.url))
    try:
        return str(connection._impl.server_properties["version"])
    finally:
        connection.close()
