"""Alerts and dashboard use only metrics that the code exports, and the runbook has a section for each alert."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from events.observability import backlog_metrics
from orders.stock_backlog import StockBacklog
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "clozit.json"
METRIC = re.compile(r"\bclozit_\w+")
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Return the names of the samples that the services' processes can export."""
    for service in SERVICES:
        importlib.import_module(f"{service}.app")
        if service != "webhooks":
            importlib.import_module(f"{service}.worker")
    names: set[str] = set(REGISTRY._names_to_collectors)
    for collector in (backlog_metrics.InboxBacklog, backlog_metrics.OutboxBacklog, StockBacklog):
        names |= {family.name for family in collector.describe(object.__new__(collector))}  # type: ignore[arg-type]
    return names


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_alerts_use_exported_metrics(alerts: list[dict[str, Any]], exported: set[str]) -> None:
    used = {name for rule in alerts for name in METRIC.findall(rule["expr"])}

    assert len(used) >= 8
    assert used - exported == set()


def test_alerts_use_outcomes_that_the_code_counts(alerts: list[dict[str, Any]]) -> None:
    files = [*(ROOT / "libs/events/events").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    code = [file.read_text() for file in files if "tests" not in file.parts]
    used = {
        value
        for rule in alerts
        for matched in re.findall(r'outcome=~?"([^"]+)"', rule["expr"])
        for value in matched.split("|")
    }

    assert len(used) >= 5
    assert {value for value in used if not any(f'"{value}"' in text for text in code)} == set()


def test_dashboard_uses_exported_metrics(exported: set[str]) -> None:
    used = {name for query in queries() for name in METRIC.findall(query)}

    assert len(used) >= 12
    assert used - exported == set()


def test_every_own_metric_is_on_the_dashboard_or_in_an_alert(alerts: list[dict[str, Any]], exported: set[str]) -> None:
    used = {name for text in [*queries(), *(rule["expr"] for rule in alerts)] for name in METRIC.findall(text)}
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in exported if METRIC.match(name)}
    shown = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in used}

    assert families - shown == set()


def test_every_alert_has_a_section_in_the_runbook(alerts: list[dict[str, Any]]) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (\w+)$", runbook, re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_every_alert_is_tested_by_promtool(alerts: list[dict[str, Any]]) -> None:
    raised = re.findall(r'alertname="(\w+)"', (ALERTS.parent / "alerts_test.yml").read_text())

    assert sorted(raised) == sorted(rule["alert"] for rule in alerts)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_configuration_and_alert_tests() -> None:
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=ALERTS.parent, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
