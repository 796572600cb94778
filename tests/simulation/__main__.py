"""The command: `python -m tests.simulation` plays seeds or replays one (see docs/simulation.md)."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import report
from tests.simulation.installation import Installation
from tests.simulation.report import Result
from tests.simulation.shrink import shrink
from tests.simulation.world import Plan, World, play

SHOWN_FAILURES = 3  # minimal traces of one run; the others are named

_installed: list[Installation] = []


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this seed and print its trace")
    parser.add_argument("--plan", help="replay the part of a seed that an earlier run printed")
    parser.add_argument("--seeds", type=int, default=200, help="the number of seeds to play")
    parser.add_argument("--first", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--processes", type=int, default=2, help="the number of seeds to play at a time")
    parser.add_argument("--report", type=Path, help="write the counts to this file; a count of zero fails the run")
    parser.add_argument("--results", type=Path, help="add each seed's counts to this file; skip the seeds in it")
    parser.add_argument("--digests", action="store_true", help="print the hash of each trace")
    options = parser.parse_args()
    if options.plan is not None:
        return _replay(Plan.from_text(options.plan))
    if options.seed is not None:
        return _replay(Plan.of(options.seed))
    return _play_all(options)


def play_seed(seed: int) -> Result:
    """Play a seed in this process and return its counts. A world that raises an error counts as a violation."""
    try:
        return Result.of(play(_installation(), Plan.of(seed)))
    except Exception as error:  # noqa: BLE001 - a defect of any kind, which must not end the other seeds
        _installed.clear()
        return Result(seed, "", 0, 0, Counter(), Counter(), [f"the world broke down: {type(error).__name__}: {error}"])


def _installation() -> Installation:
    if not _installed:
        _installed.append(Installation())
    return _installed[0]


def _replay(plan: Plan) -> int:
    world = play(_installation(), plan)
    print("\n".join(world.trace))
    print(f"seed {plan.seed}: {world.delivered + world.posted} delivered events, trace {world.digest}")
    return _show_minimal(world) if world.violations else 0


def _show_minimal(failed: World) -> int:
    seed, world = failed.plan.seed, shrink(_installation(), failed)
    print(f"\nseed {seed} fails: {world.violations[0]}\nThe smallest part of it that fails in the same way:")
    sentences = [*(act.sentence for act in world.plan.acts), *(fault.sentence for fault in world.plan.faults)]
    print("\n".join(f"  {sentence}" for sentence in sentences))
    print("\n".join(world.trace))
    print(f"trace {world.digest}. Replay this part, to the same bytes:")
    print(f"  make simulate PLAN='{world.plan.to_text()}'\nReplay all of it:\n  make simulate SEED={seed}")
    return 1


def _play_all(options: argparse.Namespace) -> int:
    known = report.read_results(options.results) if options.results else []
    wanted = range(options.first, options.first + options.seeds)
    played = {result.seed for result in known}
    began, seeds = time.monotonic(), [seed for seed in wanted if seed not in played]
    results = sorted([*known, *_play(seeds, options)], key=lambda result: result.seed)
    total = report.Total(results, time.monotonic() - began)
    print(total.summary())
    if options.digests:
        print("\n".join(f"{result.seed} {result.digest}" for result in results))
    if options.report:
        options.report.write_text(total.markdown(), "utf-8")
    failures = [result for result in results if result.violations]
    for result in [result for result in failures if result.digest][:SHOWN_FAILURES]:
        _show_minimal(play(_installation(), Plan.of(result.seed)))
    for result in failures:
        print(f"seed {result.seed}: {result.violations[0]}")
    missed = total.missed() if options.report else []
    for name in missed:
        print(f"never happened: {name}")
    return 1 if failures or missed else 0


def _play(seeds: Sequence[int], options: argparse.Namespace) -> list[Result]:
    """Play the seeds. With a file for the results, each seed is stored when it is over: a killed run can go on."""
    with ProcessPoolExecutor(options.processes) as pool:
        found = pool.map(play_seed, seeds, chunksize=4)
        if options.results is None:
            return list(found)
        results = []
        with options.results.open("a", encoding="utf-8") as file:
            for result in found:
                file.write(result.to_json() + "\n")
                file.flush()
                results.append(result)
        return results


if __name__ == "__main__":
    sys.exit(main())
