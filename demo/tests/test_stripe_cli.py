"""The official Stripe CLI against the demo: a foreign client, and another application on the same account.

The CLI must be on the PATH or at STRIPE_CLI (npm package @stripe/cli). Without it, these tests are skipped.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from events.messaging.topology import BINDINGS, matches
from events.testing.waiting import wait_until

from demo.embedded import embedded_system
from demo.fake_stripe.server import FakeStripe
from demo.ports import Ports
from demo.system import System

CLI = os.environ.get("STRIPE_CLI") or shutil.which("stripe")
FAMILIES = ("charge", "checkout.session", "payment_intent", "refund", "price", "product")
API_KEY = "sk_test_" + "4" * 20

pytestmark = pytest.mark.skipif(
    CLI is None, reason="no Stripe CLI: run `npm install @stripe/cli` and set STRIPE_CLI=…/bin/stripe"
)


@pytest.fixture
def stripe_cli(tmp_path: Path) -> Any:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    environment["STRIPE_CLI_TELEMETRY_OPTOUT"] = "1"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        assert CLI
        return subprocess.run(
            [CLI, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def triggers_in(help_text: str) -> list[str]:
    """Return the events that the CLI can trigger, from the families that concern a shop."""
    names = re.findall(r"^  ([a-z_]+(?:\.[a-z_]+)+)$", help_text, re.MULTILINE)
    return [name for name in names if name.startswith(tuple(f"{family}." for family in FAMILIES))]


def inbox(system: System, service: str) -> dict[str, str]:
    """Return the statuses in a service's inbox by event id."""
    statuses: dict[str, str] = {}
    path: str | None = "/ops/inbox?limit=100"
    while path:
        page = system.get(service, path, operator=True).raise_for_status().json()
        statuses |= {row["event_id"]: row["status"] for row in page["items"]}
        path = page["next_cursor"] and f"/ops/inbox?limit=100&cursor={page['next_cursor']}"
    return statuses


@pytest.mark.usefixtures("memory_broker_url")  # empty of other tests' messages
def test_cli_triggers_succeed_and_create_no_orders(tmp_path: Path, stripe_cli: Any) -> None:
    triggers = triggers_in(stripe_cli("trigger", "--help").stdout)
    assert {"checkout.session.completed", "charge.refunded", "charge.dispute.created"} <= set(triggers)
    with embedded_system(tmp_path, Ports.find_free()) as system:
        stripe = _fake(system)

        def trigger(event: str) -> tuple[str, int, str]:
            result = stripe_cli("trigger", event, "--api-base", stripe.url, "--api-key", API_KEY)
            return event, result.returncode, result.stderr + result.stdout

        with ThreadPoolExecutor(4) as pool:
            failed = [result for result in pool.map(trigger, triggers) if result[1] != 0]
        assert failed == []
        stripe.advance(60)  # the bank answers the debits
        for event in triggers:
            assert stripe.wait_event(event), f"the trigger created no {event}"
        assert stripe.wait_delivered(30)
        _check_all_ignored(system)


def _check_all_ignored(system: System) -> None:
    for service, patterns in BINDINGS.items():
        wait_until(lambda s=service, p=patterns: _all_ignored(system, s, p), what=f"{service}'s inbox")  # type: ignore[misc]
    answers = [sent["attempts"] for event in system.stripe.ledger["events"] for sent in event["deliveries"]]
    assert {attempt.get("status") for attempts in answers for attempt in attempts} == {200}
    for path, service in {"/orders": "orders", "/notifications": "notifications"}.items():
        assert system.get(service, path, operator=True).json()["items"] == []


def _fake(system: System) -> FakeStripe:
    assert isinstance(system.stripe, FakeStripe)
    return system.stripe


def _all_ignored(system: System, service: str, patterns: Sequence[str]) -> bool:
    keys = {event["id"]: f"stripe.{event['type']}" for event in _fake(system).events()}
    bound = [event_id for event_id, key in keys.items() if any(matches(pattern, key) for pattern in patterns)]
    return inbox(system, service) == dict.fromkeys(bound, "ignored")
