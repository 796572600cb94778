"""Prometheus beside the composed system: all targets up, every query of dashboard and alerts answered."""

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
from events.testing.servers import wait_until

from demo.scenarios.run import CheckResult
from demo.system import System

from .containers import CONSUMERS, PROMETHEUS, ROOT, SERVICES, attempt, compose

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "clozit.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
QUERIES = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
}
GROWN = {  # panels whose figures a played day must have moved, and by which label values
    "Webhooks by outcome A": {"confirmed"},
    "Reservations A": {"held", "committed", "released", "out_of_stock", "oversold"},
    "Refunds A": {"succeeded"},
    "E-mails A": {"order_confirmed", "payment_failed", "refund_succeeded", "staff_review_opened"},
}
WINDOW = "1h"  # longer than all of these tests take together, in whatever order
RANGE = re.compile(r"\[(?:\$__rate_interval|\d+[smh])\]")
BOUND = re.compile(r"\s*(>|==)\s*[\d.]+$")

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("played")]


@pytest.fixture(scope="module")
def prometheus(system: System) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=PROMETHEUS) as client:
        yield client


def ask(prometheus: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series of an answer that have a number."""
    wide = RANGE.sub(f"[{WINDOW}]", query)
    answer = prometheus.get("/query", params={"query": wide}).raise_for_status().json()
    return [series for series in answer["data"]["result"] if not math.isnan(float(series["value"][1]))]


def test_every_process_is_scraped(prometheus: httpx.Client) -> None:
    def up() -> set[tuple[str, str]]:
        targets = prometheus.get("/targets").raise_for_status().json()["data"]["activeTargets"]
        assert {each["lastError"] for each in targets if each["health"] == "up"} <= {""}
        return {
            (each["labels"]["job"], each["labels"].get("service", "")) for each in targets if each["health"] == "up"
        }

    wanted = {("rabbitmq", ""), *(("web", name) for name in SERVICES), *(("worker", name) for name in CONSUMERS)}
    wait_until(lambda: up() == wanted, 60, "every target")


@pytest.mark.parametrize("panel", QUERIES)
def test_dashboard_shows_something_after_a_purchase(prometheus: httpx.Client, panel: str) -> None:
    wait_until(lambda: ask(prometheus, QUERIES[panel]), 60, QUERIES[panel])


@pytest.mark.parametrize("panel", GROWN)
def test_dashboard_shows_what_has_happened(prometheus: httpx.Client, panel: str, played: list[CheckResult]) -> None:
    def grown() -> set[str]:
        moved = [series["metric"] for series in ask(prometheus, QUERIES[panel]) if float(series["value"][1]) > 0]
        return {value for labels in moved for value in labels.values()}

    wait_until(lambda: grown() >= GROWN[panel], 60, panel)


@pytest.mark.parametrize(
    "alert", [rule for rule in ALERTS if rule["alert"] != "StripeFails"], ids=lambda rule: rule["alert"]
)
def test_alert_looks_at_something(prometheus: httpx.Client, alert: dict[str, Any]) -> None:
    """Whatever an alert compares is there while all is well; one that looks at nothing could never be raised."""
    wait_until(lambda: ask(prometheus, BOUND.sub("", alert["expr"])), 60, alert["expr"])


def test_alerts_are_evaluated_and_the_oversold_order_raised_one(prometheus: httpx.Client) -> None:
    def states() -> dict[str, str]:
        [group] = prometheus.get("/rules").raise_for_status().json()["data"]["groups"]
        assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}, "before its first evaluation: unknown"
        return {rule["name"]: rule["state"] for rule in group["rules"]}

    wait_until(lambda: states().get("StockOversold") == "firing", 60, "the scenario `review` sells what is gone")


def test_promtool_accepts_configuration_and_alerts(prometheus: httpx.Client) -> None:
    compose("exec", "-T", "prometheus", "promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    compose("exec", "-T", "prometheus", "promtool", "test", "rules", "/etc/prometheus/alerts_test.yml")


def test_grafana_has_the_dashboard(system: System) -> None:
    pulled = attempt("--profile", "observe", "pull", "--quiet", "--ignore-buildable", "grafana")
    if pulled.returncode and not _is_there("grafana"):
        pytest.skip(f"no image of Grafana is to be had: {pulled.stderr.strip().splitlines()[-1]}")
    compose("--profile", "observe", "up", "-d", "--no-deps", "--wait", "grafana")
    password = (ROOT / ".secrets" / "grafana_password").read_text().strip()
    url = f"http://127.0.0.1:{os.environ.get('GRAFANA_PORT', '3000')}/api/dashboards/uid/clozit"
    found = httpx.get(url, auth=("admin", password)).raise_for_status().json()
    assert found["dashboard"]["title"] == DASHBOARD["title"]


def _is_there(service: str) -> bool:
    image = yaml.safe_load(compose("--profile", "observe", "config"))["services"][service]["image"]
    return subprocess.run(["docker", "image", "inspect", image], check=False, capture_output=True).returncode == 0
