"""The bench's programs start and count correctly. Their figures are not tested."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from events.testing.fixtures import skip_or_fail
from events.testing.servers.server import ServerStartError
from events.testing.waiting import wait_until

from bench.ingest.contenders import Contender, contenders
from bench.ingest.measure import MeasurementError, NumberedLoad, count_accepted
from bench.pipeline.measure import Pipeline
from bench.pipeline.run import bench_system
from bench.purchases import POSTED
from bench.servers import Broker, Databases, servers
from bench.soak.audit import Audit
from bench.soak.customers import ABANDONED_AFTER_S, Customers, Ending
from bench.soak.report import Findings, section
from bench.soak.sampling import Sampler
from bench.soak.system import soak_system

POSTS = 30
PURCHASES = 3
SOAK_RATE = 20.0  # events per second


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Broker, Databases, Path]]:
    try:
        with servers() as (broker, databases), tempfile.TemporaryDirectory() as folder:
            yield broker, databases, Path(folder)
    except ServerStartError as reason:
        skip_or_fail(reason)


def contender(name: str, started: tuple[Broker, Databases, Path]) -> Contender:
    return next(one for one in contenders(*started) if one.name == name)


@pytest.mark.parametrize("name", ["unpinned", "plain", "plain pinned", "direct", "bare"])
def test_contender_stores_what_it_accepts(started: tuple[Broker, Databases, Path], name: str) -> None:
    started[0].purge()
    one = contender(name, started)
    with one.serving() as (port, process):
        result = NumberedLoad().run(port, POSTS, one.connections)
        assert count_accepted(one, result) == POSTS
        assert (process.cpu_s() > 0, process.peak_bytes() > 0) == (True, True)


def test_clozit_stores_what_it_accepts_and_a_loss_is_found(started: tuple[Broker, Databases, Path]) -> None:
    started[0].purge()
    one = contender("clozit", started)
    with one.serving() as (port, _):
        result = NumberedLoad().run(port, POSTS, one.connections)
        assert count_accepted(one, result) == POSTS
        started[0].purge()
        with pytest.raises(MeasurementError, match=f"accepted {POSTS} posts, but"):
            count_accepted(one, result)


def test_pipeline_counts_every_effect(started: tuple[Broker, Databases, Path]) -> None:
    started[0].purge()
    with bench_system(*started) as system:
        pipeline = Pipeline(system)
        throughput = pipeline.measure_throughput(1, PURCHASES)
        pipeline.check()
    assert (throughput.posts, pipeline.purchases) == (PURCHASES * len(POSTED), PURCHASES)
    assert throughput.rate > 0


@pytest.mark.skipif(
    "SOAK" not in os.environ, reason="only `make soak` runs it, before it soaks: it starts nine services"
)
def test_soak_samples_all_and_finds_a_lost_order(started: tuple[Broker, Databases, Path]) -> None:
    broker, databases, folder = started
    broker.purge()
    with (
        soak_system(broker, databases, folder) as system,
        closing(Customers(system, SOAK_RATE, paying_s=0.1)) as customers,
        closing(Sampler(system, folder / "samples", interval_s=0.1)) as sampler,
    ):
        with sampler.running(), customers.buying():
            wait_until(
                lambda: len(customers.purchases) >= PURCHASES and len(sampler.samples.of("RabbitMQ", "connections")) > 3
            )
        system.stripe.advance(ABANDONED_AFTER_S)  # waiting customers and banks act now
        audit = Audit(system, customers.purchases)
        audit.wait_until_drained()
        assert (audit.findings(), customers.refused, sampler.failure) == ([], {}, None)
        text = section("Load", ["about"], Findings(sampler.samples, []))
        lost = Audit(system, {**customers.purchases, "chk_lost": Ending.CARD}).findings()
    assert all(f"| {name} " in text for name in system.services)
    assert "orders of 1 checkouts are None instead of ('paid', 'none'): chk_lost" in lost
