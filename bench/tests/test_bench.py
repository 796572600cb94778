"""That the bench's programs start, and count rightly. What they measure is nobody's test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from events.testing.fixtures import skip_or_fail
from events.testing.servers import Unavailable

from bench.ingest.contenders import Contender, contenders
from bench.ingest.measure import Range, Wrong, accepted_by
from bench.pipeline.measure import Pipeline
from bench.pipeline.run import bench_system
from bench.purchases import POSTED
from bench.servers import Broker, Databases, servers

POSTS = 30
PURCHASES = 3


@pytest.fixture(scope="module")
def below() -> Iterator[tuple[Broker, Databases, Path]]:
    try:
        with servers() as (broker, databases), tempfile.TemporaryDirectory() as folder:
            yield broker, databases, Path(folder)
    except Unavailable as reason:
        skip_or_fail(reason)


def contender(name: str, below: tuple[Broker, Databases, Path]) -> Contender:
    return next(one for one in contenders(*below) if one.name == name)


@pytest.mark.parametrize("name", ["unpinned", "plain", "plain pinned", "direct", "bare"])
def test_contender_does_what_it_accepts(below: tuple[Broker, Databases, Path], name: str) -> None:
    below[0].purge()
    one = contender(name, below)
    with one.serving() as (port, process):
        shots = Range().fire(port, POSTS, one.connections)
        assert accepted_by(one, shots) == POSTS
        assert (process.cpu() > 0, process.peak() > 0) == (True, True)


def test_ours_does_what_it_accepts_and_a_lost_event_is_found_out(below: tuple[Broker, Databases, Path]) -> None:
    below[0].purge()
    one = contender("ours", below)
    with one.serving() as (port, _):
        shots = Range().fire(port, POSTS, one.connections)
        assert accepted_by(one, shots) == POSTS
        below[0].purge()
        with pytest.raises(Wrong, match=f"accepted {POSTS} posts, but"):
            accepted_by(one, shots)


def test_pipeline_counts_every_effect(below: tuple[Broker, Databases, Path]) -> None:
    below[0].purge()
    with bench_system(*below) as system:
        pipeline = Pipeline(system)
        together = pipeline.together(1, PURCHASES)
        pipeline.check()
    assert (together.posts, pipeline.purchases) == (PURCHASES * len(POSTED), PURCHASES)
    assert together.rate > 0
