"""The system under the fuzzers: all processes on PostgreSQL and RabbitMQ, with some purchases."""

from collections.abc import Iterator

import pytest
from events.testing.fixtures import empty_queues, postgres_databases

from demo.scenarios.run import ScenarioRun
from demo.scenarios.suite import SCENARIOS
from tests.e2e.processes import Installation, installation

PURCHASES = ("card payment", "canceled checkout", "discount code", "refunds")


@pytest.fixture(scope="package")  # conftest.py at the root keeps its tests together: the next ones share the queues
def installed(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, rabbitmq_url: str) -> Iterator[Installation]:
    empty_queues(rabbitmq_url)
    with (
        postgres_databases(postgres_url) as new_database,
        installation(tmp_path_factory.mktemp("fuzz"), new_database, rabbitmq_url) as running,
    ):
        for name in PURCHASES:
            SCENARIOS[name](ScenarioRun(running.system, name))
        yield running
