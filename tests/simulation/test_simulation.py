"""A few worlds for every run of the tests; `make simulate` plays more (docs/simulation.md)."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.actors import Act
from tests.simulation.adversary import KINDS, Adversary, Fault
from tests.simulation.installation import Installation
from tests.simulation.mutations import GUARDS, MUTATIONS, Mutation
from tests.simulation.report import Result, Total, read_results
from tests.simulation.shrink import minimize
from tests.simulation.world import Plan, World, play

ROOT = Path(__file__).parents[2]
SEEDS = range(1, 6)


@pytest.fixture(scope="module")
def installation() -> Installation:
    return Installation()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_property_holds_in_a_world(installation: Installation, seed: int) -> None:
    world = play(installation, Plan.of(seed))
    assert world.violations == [], "\n".join(world.trace)
    assert world.delivered > 0


def test_purchase_without_faults_ends_with_one_confirmation(installation: Installation) -> None:
    acts = tuple(Act(number, name) for number, name in enumerate(["start a checkout"] * 3 + ["pay"] * 6))
    world = play(installation, Plan(5, acts, ()))
    assert world.violations == []
    kinds = Counter(str(mail["Message-ID"]).strip().partition(".")[0] for mail in world.mails)
    assert kinds["<order_confirmed"] >= 1
    assert set(world.adversary.hits) == set()


def test_same_seed_gives_the_same_bytes_in_any_process() -> None:
    code = (
        "from tests.simulation.world import *; w = play(Installation(), Plan.of(4)); "
        "import sys; sys.stdout.write('\\n'.join(w.trace))"
    )
    traces = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert b"FAULT" in traces[0]


def test_second_world_of_an_installation_has_the_same_trace(installation: Installation) -> None:
    plan = Plan.of(3)
    assert play(installation, plan).digest == play(installation, plan).digest


def test_lost_event_is_a_violation(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.outside.Bus.route", lambda *_: None)
    assert "never got it" in play(installation, Plan(1, Plan.of(1).acts, ())).violations[0]


def test_fault_happens_at_its_opportunity_only() -> None:
    adversary = Adversary([Fault("publish refused", 2)])
    assert [adversary.strikes("publish refused", "orders web") for _ in range(3)] == [False, True, False]
    assert adversary.hits == {("publish refused", "orders web"): 1}


def test_minimal_part_keeps_only_what_fails_together() -> None:
    assert minimize(range(20), lambda kept: {3, 17} <= set(kept)) == [3, 17]


def test_plan_survives_its_text() -> None:
    plan = Plan.of(3)
    assert Plan.from_text(plan.to_text()) == plan


def test_part_of_a_plan_keeps_its_acts_numbers() -> None:
    plan = Plan.from_text("3/0,2/crash before ack#4")
    assert [act.number for act in plan.acts] == [0, 2]
    assert plan.faults == (Fault("crash before ack", 4),)


def test_result_survives_its_line_in_a_file(installation: Installation) -> None:
    result = Result.of(play(installation, Plan.of(2)))
    assert Result.from_json(result.to_json()) == result


def test_unfinished_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    result = Result(7, "", 0, 0, Counter(), Counter(), [])
    (tmp_path / "results").write_text(f"{result.to_json()}\n{result.to_json()[:20]}")
    assert [found.seed for found in read_results(tmp_path / "results")] == [7]


def test_count_of_zero_is_named() -> None:
    assert {"act pay", "event orders stripe.review.closed", "fault clock is wrong"} <= set(Total([], 0).missed())


def test_twenty_guards_are_broken() -> None:
    assert len(GUARDS) == 20


def test_every_plan_names_known_faults() -> None:
    assert {fault.kind for seed in range(50) for fault in Plan.of(seed).faults} <= KINDS.keys()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.guard[:60])
def test_source_of_each_broken_guard_is_there_once(mutation: Mutation) -> None:
    spec = importlib.util.find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).read_text("utf-8").count(mutation.old) == 1


def test_world_names_what_it_visited(installation: Installation) -> None:
    world: World = play(installation, Plan.of(1))
    assert any(name.startswith("event orders stripe.checkout.session.") for name in world.visits)
    assert any(name.startswith("loop orders relay") for name in world.visits)
    assert any(name.startswith("route checkout POST") for name in world.visits)
    assert any(name.startswith("status orders.status ") for name in world.visits)
