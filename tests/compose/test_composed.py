"""The composed system for real: up, buy, scale, kill, restart and upgrade everything under load, down."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from events.testing.servers import wait_until

from demo.scenarios.report import results_table
from demo.scenarios.run import CheckResult, ScenarioRun
from demo.scenarios.totals import compare_totals
from demo.system import System

from .containers import CONSUMERS, SERVICES, compose, inspect, running
from .load import Poster

WEB_AND_WORKERS = [*SERVICES, *(f"{service}-worker" for service in CONSUMERS)]
SCHEDULED = ["webhooks-backfill", "orders-reconcile"]
SCALE = ["--scale", "orders-worker=4", "--scale", "webhooks=3"]
NEXT = "next"  # the version that an upgrade brings
CUSTOMERS = "@example.com"  # where all of the scenarios' customers have their addresses
PIECES = "BEA-RIB-RUS-OS"

pytestmark = pytest.mark.timeout(1800)


def test_every_kind_of_purchase_has_all_its_effects(system: System, played: list[CheckResult]) -> None:
    assert all(finding.ok for finding in played), results_table(played)
    assert all(one.ok for one in compare_totals(system))


def test_every_container_is_healthy(system: System) -> None:
    healths = {row["Service"]: row["Health"] for row in running()}
    del healths["mailpit"]  # whose image brings a check of its own, or none

    assert len(healths) >= 16
    assert set(healths.values()) == {"healthy"}, healths


def test_scheduled_jobs_have_run(system: System) -> None:
    for name, sign in (("webhooks-backfill", r'"complete": ?true'), ("orders-reconcile", r'"differences": \[\]')):
        wait_until(lambda name=name, sign=sign: re.search(sign, compose("logs", name)), 30, name)  # type: ignore[misc]


def test_logs_are_json_and_name_no_customer(system: System, played: list[CheckResult]) -> None:
    told = compose("logs", "--no-log-prefix", "--no-color", *WEB_AND_WORKERS)
    lines = told.replace(
        "\x1b[2K", ""
    ).splitlines()  # some releases of Compose clear the terminal's line whatever one says

    assert len(lines) > 50
    assert not [line for line in lines if not line.startswith('{"') or not json.loads(line)["service"]]
    assert not [line for line in lines if CUSTOMERS in line]
    assert CUSTOMERS not in compose("logs", "proxy")


@contextmanager
def loaded(system: System) -> Iterator[None]:
    """Purchases under way and events a second while something happens; nothing of it may be lost or done twice."""
    play = ScenarioRun(system, "loaded")
    before = play.stock(PIECES)
    with Poster(system) as poster:
        bought = [play.start_checkout({PIECES: 1}) for _ in range(2)]
        for purchase in bought:
            system.stripe.pay(purchase["session_id"], "card", play.email)
        yield
        wait_until(lambda: system.get("webhooks", "/readyz").status_code == 200, 60, "the ingest")
    assert len(poster.taken) > 500
    poster.wait_until_handled()
    for purchase in bought:
        play.check("order", "paid", lambda purchase=purchase: play.status(purchase))  # type: ignore[misc]
    play.check("stock", (before[0] - 2, before[1]), lambda: play.stock(PIECES))
    play.check("e-mails", ["order_confirmed"] * 2, play.customer_emails)
    assert all(finding.ok for finding in play.results), results_table(play.results)
    assert all(one.ok for one in compare_totals(system))


def test_every_container_is_restarted_under_load_and_nothing_is_lost(system: System) -> None:
    compose("up", "-d", "--no-recreate", "--wait", *SCALE)
    assert len([row for row in running() if row["Service"] == "orders-worker"]) == 4
    with loaded(system):
        compose("kill", "-s", "SIGKILL", "inventory-worker")
        compose("up", "-d", "--no-recreate", "--no-deps", "inventory-worker")
        for name in ["proxy", *WEB_AND_WORKERS, *SCHEDULED, "rabbitmq", "postgres"]:
            compose("restart", name)


@pytest.fixture
def next_release(system: System) -> Iterator[None]:
    """Images of the same code under another version, and in the end the system as it was."""
    names = [*WEB_AND_WORKERS, *SCHEDULED]
    compose("build", *names, VERSION=NEXT)
    yield
    compose("up", "-d", "--no-deps", "--wait", *names)
    subprocess.run(["docker", "image", "rm", *(f"clozit/{service}:{NEXT}" for service in SERVICES)], check=False)


def versions(names: list[str]) -> set[str]:
    containers = [row["Name"] for row in running() if row["Service"] in names]
    labels = [container["Config"]["Labels"] for container in inspect("container", *containers)]
    return {each["org.opencontainers.image.version"] for each in labels}


@pytest.mark.usefixtures("next_release")
def test_upgrade_under_load_loses_nothing(system: System) -> None:
    """As docs/operations.md says it: migrate, declare, then process by process."""
    with loaded(system):
        for job in [*(f"{service}-migrate" for service in CONSUMERS), "broker-topology"]:
            compose("run", "--rm", "--no-deps", job, VERSION=NEXT)
        for name in [*WEB_AND_WORKERS, *SCHEDULED]:
            compose("up", "-d", "--no-deps", "--wait", name, VERSION=NEXT)
    assert versions([*WEB_AND_WORKERS, *SCHEDULED]) == {NEXT}
