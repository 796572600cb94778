"""Purchases played through a running system, and every effect that each must have: for smoke and end to end tests."""

from collections.abc import Callable

import httpx

from demo import aftermath, purchases
from demo.playing import Finding, Play
from demo.system import System

__all__ = ["SCENARIOS", "Finding", "Play", "play_all"]

SCENARIOS: dict[str, Callable[[Play], None]] = {
    "card": purchases.card,
    "SEPA, paid later": purchases.delayed,
    "SEPA, fails later": purchases.delayed_failure,
    "declined, then paid": purchases.declined,
    "abandoned": purchases.abandoned,
    "canceled": purchases.canceled,
    "out of stock": purchases.out_of_stock,
    "discount": purchases.discount,
    "shipped": aftermath.shipped,
    "refund": aftermath.refund,
    "dispute, lost": aftermath.dispute_lost,
    "dispute, won": aftermath.dispute_won,
    "review": aftermath.review,
}


def play_all(system: System) -> list[Finding]:
    """Every scenario, one after the other; all findings."""
    findings: list[Finding] = []
    for name, scenario in SCENARIOS.items():
        play = Play(system, name.replace(",", ""))
        try:
            scenario(play)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            play.findings.append(Finding(name, "goes through", "yes", f"{type(error).__name__}: {error}"))
        findings += play.findings
    return findings
