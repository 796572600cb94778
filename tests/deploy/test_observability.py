"""Alerts and dashboard ask for nothing that the code does not export, and each alert has its page in the runbook."""

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
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "clozit.json"
METRIC = re.compile(r"\bclozit_\w+")
BY_SERVICE = ("checkout", "webhooks", "orders", "inventory", "notifications")


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """The sample names that the services' processes can export."""
    for service in BY_SERVICE:
        importlib.import_module(f"{service}.app")
        if service != "webhooks":
            importlib.import_module(f"{service}.worker")
    names: set[str] = set(REGISTRY._names_to_collectors)
    for collector in (backlog_metrics.InboxBacklog, backlog_metrics.OutboxBacklog):
        names |= {family.name for family in collector.describe(object.__new__(collector))}
    return names


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_alerts_ask_for_what_is_exported(alerts: list[dict[str, Any]], exported: set[str]) -> None:
    asked = {name for rule in alerts for name in METRIC.findall(rule["expr"])}

    assert len(asked) >= 8
    assert asked - exported == set()


def test_alerts_ask_for_outcomes_that_the_code_counts(alerts: list[dict[str, Any]]) -> None:
    files = [*(ROOT / "libs/events/events").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    code = [file.read_text() for file in files if "tests" not in file.parts]
    asked = {
        value
        for rule in alerts
        for matched in re.findall(r'outcome=~?"([^"]+)"', rule["expr"])
        for value in matched.split("|")
    }

    assert len(asked) >= 5
    assert {value for value in asked if not any(f'"{value}"' in text for text in code)} == set()


def test_dashboard_asks_for_what_is_exported(exported: set[str]) -> None:
    asked = {name for query in queries() for name in METRIC.findall(query)}

    assert len(asked) >= 12
    assert asked - exported == set()


def test_every_metric_of_ours_is_on_the_dashboard_or_in_an_alert(
    alerts: list[dict[str, Any]], exported: set[str]
) -> None:
    asked = {name for text in [*queries(), *(rule["expr"] for rule in alerts)] for name in METRIC.findall(text)}
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in exported if METRIC.match(name)}
    shown = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in asked}

    assert families - shown == set()


def test_every_alert_has_a_page_in_the_runbook(alerts: list[dict[str, Any]]) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (\w+)$", runbook, re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_every_alert_is_tested_by_promtool(alerts: list[dict[str, Any]]) -> None:
    raised = re.findall(r'alertname="(\w+)"', (ALERTS.parent / "alerts_test.yml").read_text())

    assert sorted(raised) == sorted(rule["alert"] for rule in alerts)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed here")
def test_promtool_reads_the_configuration_and_raises_every_alert() -> None:
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=ALERTS.parent, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
