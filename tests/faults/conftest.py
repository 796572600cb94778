"""One fleet for all faults, and their report."""

import os
from collections.abc import Iterator
from pathlib import Path

import pika
import psycopg
import pytest
from events.testing.servers import Unavailable

from tests.faults.bench import SEED, Bench, running
from tests.faults.report import Report


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    made = Report(SEED)
    yield made
    print(f"\n{made.text()}")
    if path := os.environ.get("FAULTS_REPORT"):
        Path(path).write_text(made.text())


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Bench]:
    print(f"\nFAULTS_SEED={SEED}")
    try:
        with running(tmp_path_factory.mktemp("faults")) as made:
            report.versions = {"PostgreSQL": _postgresql(made), "RabbitMQ": _rabbitmq(made)}
            yield made
    except Unavailable as reason:
        pytest.skip(f"faults need server programs of their own to break: {reason}")


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
