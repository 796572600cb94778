"""Minimal traces: leaves out acts and faults of a failing plan as long as it still fails in the same way."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.simulation.installation import Installation
from tests.simulation.world import Plan, World, play

MAX_PLAYS = 200  # worlds that one failure may cost

Item = TypeVar("Item")


def shrink(installation: Installation, failed: World) -> World:
    """Return the world of the shortest plan that was found with the failure of this one."""
    wanted = signature(failed)
    best, left = failed, MAX_PLAYS

    def still_fails(plan: Plan) -> bool:
        nonlocal best, left
        left -= 1
        if left < 0:
            return False
        world = play(installation, plan)
        if signature(world) != wanted:
            return False
        best = world
        return True

    plan = failed.plan
    for _ in range(2):  # fewer acts can make more faults unnecessary, and the other way round
        faults = minimize(plan.faults, lambda kept: still_fails(replace(plan, faults=tuple(kept))))  # noqa: B023
        plan = replace(plan, faults=tuple(faults))
        acts = minimize(plan.acts, lambda kept: still_fails(replace(plan, acts=tuple(kept))))  # noqa: B023
        plan = replace(plan, acts=tuple(acts))
    return best


def signature(world: World) -> str | None:
    """Return the first violation without its ids and numbers: the kind of failure; None without one."""
    if not world.violations:
        return None
    return re.sub(r"\b\w*\d\w*\b", "…", world.violations[0])


def minimize(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> Sequence[Item]:
    """Return a part of the items that still fails and of which no chunk can be left out (delta debugging)."""
    chunk = len(items)
    while chunk:
        start = 0
        while start < len(items):
            without = [*items[:start], *items[start + chunk :]]
            if fails(without):
                items = without
            else:
                start += chunk
        chunk //= 2
    return items
