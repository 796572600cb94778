"""The command: `python -m tests.simulation` plays seeds or replays one (see docs/simulation.md)."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import report
from tests.simulation.installation import Installation
from tests.simulation.report import Result
from tests.simulation.shrink import shrink
from tests.simulation.world import Plan, play

SHOWN_FAILURES = 3  # minimal traces of one run; the others are named

_installed: list[Installation] = []


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this seed and print its trace")
    parser.add_argument("--seeds", type=int, default=200, help="play so many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--processes", type=int, default=2, help="play so many seeds at a time")
    parser.add_argument("--report", type=Path, help="write the counts to this file; a count of zero fails the run")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed)
    return _play_all(options)


def play_seed(seed: int) -> Result:
    """Play a seed in this process and return what there is to count."""
    return Result.of(play(_installation(), Plan.of(seed)))


def _installation() -> Installation:
    if not _installed:
        _installed.append(Installation())
    return _installed[0]


def _replay(seed: int) -> int:
    world = play(_installation(), Plan.of(seed))
    print("\n".join(world.trace))
    print(f"seed {seed}: {world.delivered} delivered messages, trace {world.digest}")
    return _show_minimal(seed) if world.violations else 0


def _show_minimal(seed: int) -> int:
    world = shrink(_installation(), play(_installation(), Plan.of(seed)))
    print(f"\nseed {seed} fails: {world.violations[0]}\nThe smallest part of it that fails in the same way:")
    print("\n".join(f"  {one}" for one in (*world.plan.acts, *world.plan.faults)))
    print("\n".join(world.trace))
    print(f"Replay all of it: make simulate SEED={seed}")
    return 1


def _play_all(options: argparse.Namespace) -> int:
    began, seeds = time.monotonic(), range(options.first, options.first + options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        results = list(pool.map(play_seed, seeds, chunksize=4))
    total = report.Total(results, time.monotonic() - began)
    print(total.summary())
    if options.report:
        options.report.write_text(total.markdown(), "utf-8")
    failures = [result for result in results if result.violations]
    for result in failures[:SHOWN_FAILURES]:
        _show_minimal(result.seed)
    for result in failures:
        print(f"seed {result.seed}: {result.violations[0]}")
    missed = total.missed() if options.report else []
    for name in missed:
        print(f"never happened: {name}")
    return 1 if failures or missed else 0


if __name__ == "__main__":
    sys.exit(main())
