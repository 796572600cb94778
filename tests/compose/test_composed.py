"""The composed system: purchases, scaling, kills, restarts and an upgrade under load."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from events.testing.waiting import wait_until

from demo.scenarios.report import results_table
from demo.scenarios.run import CheckResult, ScenarioRun
from demo.scenarios.totals import compare_totals
from demo.system import System

from .containers import CONSUMERS, SERVICES, compose, inspect, running
from .load import WebhookPoster

WEB_AND_WORKERS = [*SERVICES, *(f"{service}-worker" for service in CONSUMERS)]
SCHEDULED = ["webhooks-backfill", "orders-reconcile"]
SCALE_OPTIONS = ["--scale", "orders-worker=4", "--scale", "webhooks=3"]
NEXT_VERSION = "next"  # of the upgrade
CUSTOMER_DOMAIN = "@example.com"  # of all customers of the scenarios
SKU = "BEA-RIB-RUS-OS"

pytestmark = pytest.mark.timeout(1800)


def test_every_kind_of_purchase_has_all_its_effects(system: System, results: list[CheckResult]) -> None:
    assert all(result.ok for result in results), results_table(results)
    assert all(one.ok for one in compare_totals(system))


def test_every_container_is_healthy(system: System) -> None:
    healths = {row["Service"]: row["Health"] for row in running()}
    del healths["mailpit"]  # its image may have a health check or none

    assert len(healths) >= 16
    assert set(healths.values()) == {"healthy"}, healths


def test_scheduled_jobs_have_run(system: System) -> None:
    for name, sign in (("webhooks-backfill", r'"complete": ?true'), ("orders-reconcile", r'"open_differences": ?0')):
        wait_until(lambda name=name, sign=sign: re.search(sign, compose("logs", name)), 30, name)  # type: ignore[misc]


def test_logs_are_json_and_name_no_customer(system: System, results: list[CheckResult]) -> None:
    logs = compose("logs", "--no-log-prefix", "--no-color", *WEB_AND_WORKERS)
    lines = logs.replace("\x1b[2K", "").splitlines()  # some releases of Compose clear the line despite --no-color

    assert len(lines) > 50
    assert not [line for line in lines if not line.startswith('{"') or not json.loads(line)["service"]]
    assert not [line for line in lines if CUSTOMER_DOMAIN in line]
    assert CUSTOMER_DOMAIN not in compose("logs", "proxy")


def test_each_forwarded_address_has_its_own_limit(system: System) -> None:
    url = f"http://127.0.0.1:{os.environ.get('PUBLIC_PORT', '8080')}/checkout/sessions"

    def start(address: str) -> httpx.Response:
        return httpx.post(url, json={}, headers={"X-Forwarded-For": address, "Origin": "http://127.0.0.1:8000"})

    refused = next(answer for answer in (start("192.0.2.9") for _ in range(60)) if answer.status_code == 429)
    assert refused.json()["type"] == "urn:clozit:problem:too-many-requests"
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert start("192.0.2.10").status_code == 422  # the cart is empty, but its client is not limited


@contextmanager
def loaded(system: System) -> Iterator[None]:
    """Buy and post events while the block runs; afterwards nothing may be lost, and nothing may have happened twice."""
    run = ScenarioRun(system, "loaded")
    before = run.stock(SKU)
    with WebhookPoster(system) as poster:
        bought = [run.start_checkout({SKU: 1}) for _ in range(2)]
        for purchase in bought:
            system.stripe.pay(purchase["session_id"], "card", run.email)
        yield
        wait_until(lambda: system.get("webhooks", "/readyz").status_code == 200, 60, "the ingest")
    assert len(poster.accepted) > 500
    poster.wait_until_handled()
    for purchase in bought:
        run.check("order", "paid", lambda purchase=purchase: run.status(purchase))  # type: ignore[misc]
    run.check("stock", (before[0] - 2, before[1]), lambda: run.stock(SKU))
    run.check("e-mails", ["order_confirmed"] * 2, run.customer_emails)
    assert all(result.ok for result in run.results), results_table(run.results)
    assert all(one.ok for one in compare_totals(system))


def test_restart_of_every_container_under_load_loses_nothing(system: System) -> None:
    compose("up", "-d", "--no-recreate", "--wait", *SCALE_OPTIONS)
    assert len([row for row in running() if row["Service"] == "orders-worker"]) == 4
    with loaded(system):
        compose("kill", "-s", "SIGKILL", "inventory-worker")
        compose("up", "-d", "--no-recreate", "--no-deps", "inventory-worker")
        for name in ["proxy", *WEB_AND_WORKERS, *SCHEDULED, "rabbitmq", "postgres"]:
            compose("restart", name)


@pytest.fixture
def next_release(system: System) -> Iterator[None]:
    """Build images of the same code with another version; at the end, restore the system."""
    names = [*WEB_AND_WORKERS, *SCHEDULED]
    compose("build", *names, VERSION=NEXT_VERSION)
    yield
    compose("up", "-d", "--no-deps", "--wait", *names)
    subprocess.run(
        ["docker", "image", "rm", *(f"clozit/{service}:{NEXT_VERSION}" for service in SERVICES)], check=False
    )


def versions(names: list[str]) -> set[str]:
    containers = [row["Name"] for row in running() if row["Service"] in names]
    labels = [container["Config"]["Labels"] for container in inspect("container", *containers)]
    return {each["org.opencontainers.image.version"] for each in labels}


@pytest.mark.usefixtures("next_release")
def test_upgrade_under_load_loses_nothing(system: System) -> None:
    """Upgrade as docs/operations.md says: migrate, declare the topology, then one process after another."""
    with loaded(system):
        for job in [*(f"{service}-migrate" for service in CONSUMERS), "broker-topology"]:
            compose("run", "--rm", "--no-deps", job, VERSION=NEXT_VERSION)
        for name in [*WEB_AND_WORKERS, *SCHEDULED]:
            compose("up", "-d", "--no-deps", "--wait", name, VERSION=NEXT_VERSION)
    assert versions([*WEB_AND_WORKERS, *SCHEDULED]) == {NEXT_VERSION}
