"""A sample of worlds on PostgreSQL: its types, its constraints and its sorting are not those of SQLite."""

from collections.abc import Iterator

import pytest
from events.database.engine import Database
from events.database.migrations import migrate
from events.testing.fixtures import postgres_databases

from tests.simulation.installation import CHAINS, Installation
from tests.simulation.world import Plan, play

SEEDS = (7, 8)


@pytest.fixture(scope="module")
def installation(postgres_url: str) -> Iterator[Installation]:
    with postgres_databases(postgres_url) as make:
        urls = {service: make() for service in CHAINS}
        for service, url in urls.items():
            database = Database(url)
            migrate(database, CHAINS[service])
            database.dispose()
        installed = Installation(urls)
        yield installed
        for world_database in installed.databases.values():
            world_database.dispose()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_property_holds_on_postgresql(installation: Installation, seed: int) -> None:
    world = play(installation, Plan.of(seed))
    assert world.violations == [], "\n".join(world.trace)
    assert world.delivered > 0


def test_world_on_postgresql_replays_to_the_same_bytes(installation: Installation) -> None:
    plan = Plan.of(SEEDS[0])
    assert play(installation, plan).digest == play(installation, plan).digest
