"""Prometheus with the composed system: all targets are up, and each query of dashboard and alerts has an answer."""

import json
import math
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from events.testing.waiting import wait_until

from demo.system import System

from .containers import CONSUMERS, PROMETHEUS, ROOT, SERVICES, compose, run_compose

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "clozit.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
METRICS = {name for rule in RULES for name in re.findall(r"\b(?:clozit|pg|rabbitmq)_\w+", rule["expr"])}
RARE = {"clozit_queue_declare_failures_total"}  # a series begins with the first failure
NOT_STARTED = re.compile(r"\b(pg|cnpg)_|database_connections|ALERTS|slo_budget_left|queue_declare_failures")
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
GROWING = {  # panels that all purchases together must change, and their label values
    "Webhooks by outcome A": {"confirmed"},
    "Reservations A": {"held", "committed", "released", "out_of_stock", "oversold"},
    "Refunds A": {"succeeded"},
    "E-mails A": {"order_confirmed", "payment_failed", "refund_succeeded", "staff_review_opened"},
}
WINDOW = "1h"  # longer than all these tests take together, in any order
RANGE_SELECTOR = re.compile(r"\[(?:\$__rate_interval|\d+[smh])\]")

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("results")]


@pytest.fixture(scope="module")
def prometheus(system: System) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=PROMETHEUS) as client:
        yield client


def query(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """Return the series of a query's answer that have a number."""
    widened = RANGE_SELECTOR.sub(f"[{WINDOW}]", expression).replace("$service", ".*")
    answer = prometheus.get("/query", params={"query": widened}).raise_for_status().json()
    return [series for series in answer["data"]["result"] if not math.isnan(float(series["value"][1]))]


def test_every_process_is_scraped(prometheus: httpx.Client) -> None:
    def up() -> set[tuple[str, str]]:
        targets = prometheus.get("/targets").raise_for_status().json()["data"]["activeTargets"]
        assert {each["lastError"] for each in targets if each["health"] == "up"} <= {""}
        return {
            (each["labels"]["job"], each["labels"].get("service", "")) for each in targets if each["health"] == "up"
        }

    servers = {("rabbitmq", ""), ("rabbitmq-node", "")}
    wanted = {*servers, *(("web", name) for name in SERVICES), *(("worker", name) for name in CONSUMERS)}
    wait_until(lambda: up() >= wanted, 60, "every target")


@pytest.mark.parametrize("panel", [name for name, query in QUERIES.items() if not NOT_STARTED.search(query)])
def test_dashboard_panel_has_data_after_purchases(prometheus: httpx.Client, panel: str) -> None:
    wait_until(lambda: query(prometheus, QUERIES[panel]), 60, QUERIES[panel])


@pytest.mark.parametrize("panel", GROWING)
def test_dashboard_panel_shows_what_has_happened(prometheus: httpx.Client, panel: str) -> None:
    def grown() -> set[str]:
        moved = [series["metric"] for series in query(prometheus, QUERIES[panel]) if float(series["value"][1]) > 0]
        return {value for labels in moved for value in labels.values()}

    wait_until(lambda: grown() >= GROWING[panel], 60, panel)


@pytest.mark.parametrize("metric", sorted(name for name in METRICS - RARE if not name.startswith("pg_")))
def test_rules_use_metrics_that_exist(prometheus: httpx.Client, metric: str) -> None:
    wait_until(lambda: query(prometheus, f"count({metric})"), 60, metric)


def test_alerts_are_evaluated_and_an_oversold_order_raises_one(prometheus: httpx.Client) -> None:
    def states() -> dict[str, str]:
        groups = prometheus.get("/rules").raise_for_status().json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, "before its first evaluation: unknown"
        return {rule["name"]: rule["state"] for rule in rules if rule["type"] == "alerting"}

    wait_until(
        lambda: states().get("StockOversold") == "firing", 60, "the scenario `review` sells pieces that are gone"
    )


def test_promtool_accepts_configuration_and_alerts(prometheus: httpx.Client) -> None:
    compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    for tests in ("alerts_test.yml", "quiet_test.yml"):
        compose("exec", "-T", "prometheus", "promtool", "test", "rules", f"/etc/prometheus/{tests}")


def test_grafana_has_the_dashboard(system: System) -> None:
    pulled = run_compose("--profile", "observe", "pull", "--quiet", "--ignore-buildable", "grafana")
    if pulled.returncode and not has_image("grafana"):
        pytest.skip(f"the image of Grafana is not available: {pulled.stderr.strip().splitlines()[-1]}")
    compose("--profile", "observe", "up", "-d", "--no-deps", "--wait", "grafana")
    password = (ROOT / ".secrets" / "grafana_password").read_text().strip()
    url = f"http://127.0.0.1:{os.environ.get('GRAFANA_PORT', '3000')}/api/dashboards/uid/clozit"
    found = httpx.get(url, auth=("admin", password)).raise_for_status().json()
    assert found["dashboard"]["title"] == DASHBOARD["title"]


def has_image(service: str) -> bool:
    image = yaml.safe_load(compose("--profile", "observe", "config"))["services"][service]["image"]
    return subprocess.run(["docker", "image", "inspect", image], check=False, capture_output=True).returncode == 0
