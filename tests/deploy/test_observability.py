"""Alerts and dashboards use metrics that exist. Each alert has a fault that raises it, and a section in the runbook."""

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
from events.web.health import CHECK_METRIC
from notifications.email_backlog import EmailBacklog
from orders.stock_backlog import StockBacklog
from prometheus_client import REGISTRY

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
ROUTES = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "clozit.json"
EXPORTERS = Path(__file__).parent / "exporters"  # the names that other programs export, one list for each program
METRIC = re.compile(r"\bclozit_\w+")
RECORDED = re.compile(r"\bclozit:[\w:]+")
FOREIGN_METRIC = re.compile(r"\b(?:rabbitmq|pg|cnpg)_\w+")
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


# Scheduled jobs report these. Their module is not loaded by an application or a worker.
@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Return the names of the samples that the services' processes can export."""
    for service in SERVICES:
        importlib.import_module(f"{service}.app")
        if service != "webhooks":
            importlib.import_module(f"{service}.worker")
    for job in ("events.operations.jobs", "webhooks.backfill", "orders.reconciliation.schedule"):
        importlib.import_module(job)
    names: set[str] = {*REGISTRY._names_to_collectors, CHECK_METRIC}
    for collector in (backlog_metrics.InboxBacklog, backlog_metrics.OutboxBacklog, StockBacklog, EmailBacklog):
        names |= {family.name for family in collector.describe(object.__new__(collector))}  # type: ignore[arg-type]
    return names


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for rule in rules if "alert" in rule]


@pytest.fixture(scope="module")
def alert_tests() -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = yaml.safe_load((ALERTS.parent / "alerts_test.yml").read_text())["tests"]
    return tests


@pytest.fixture(scope="module")
def inhibitions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(ROUTES.read_text())["inhibit_rules"]
    return found


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def foreign_metrics() -> set[str]:
    lines = [line for file in EXPORTERS.glob("*.txt") for line in file.read_text().splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


def names_of_alerts(matcher: str) -> set[str]:
    """Return the alerts that a matcher such as `alertname =~ "A|B.+"` names."""
    matched = re.fullmatch(r'alertname =~? "?([^"]+)"?', matcher)
    return set(matched[1].split("|")) if matched else set()


def test_rules_use_exported_metrics(rules: list[dict[str, Any]], exported: set[str]) -> None:
    used = {name for rule in rules for name in METRIC.findall(rule["expr"])}

    assert len(used) >= 20
    assert used - exported == set()


def test_rules_use_recorded_series(rules: list[dict[str, Any]]) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {name for text in [*queries(), *(rule["expr"] for rule in rules)] for name in RECORDED.findall(text)}

    assert len(used) >= 8
    assert used - recorded == set()


def test_rules_and_dashboard_use_metrics_of_named_exporters(rules: list[dict[str, Any]]) -> None:
    texts = [*queries(), *(rule["expr"] for rule in rules)]
    used = {name for text in texts for name in FOREIGN_METRIC.findall(text)}

    assert len(used) >= 10
    assert used - foreign_metrics() == set()


def test_promtool_cases_use_metrics_that_exist(
    rules: list[dict[str, Any]], alert_tests: list[dict[str, Any]], exported: set[str]
) -> None:
    quiet = yaml.safe_load((ALERTS.parent / "quiet_test.yml").read_text())["tests"]
    series = {each["series"].partition("{")[0] for case in [*alert_tests, *quiet] for each in case["input_series"]}

    assert series - exported - foreign_metrics() - {"up"} == set()


def test_rules_use_outcomes_that_the_code_counts(rules: list[dict[str, Any]]) -> None:
    files = [*(ROOT / "libs/events/events").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
    code = [file.read_text() for file in files if "tests" not in file.parts]
    used = {
        value
        for rule in rules
        for matched in re.findall(r'(?:outcome|reason|check)=~?"([^"]+)"', rule["expr"])
        for value in matched.split("|")
    }

    assert len(used) >= 10
    assert {value for value in used if not any(f'"{value}"' in text for text in code)} == set()


def test_rules_use_routes_that_exist(rules: list[dict[str, Any]]) -> None:
    documents = {
        "checkout": importlib.import_module("checkout.api").blueprint,
        "webhooks": importlib.import_module("webhooks.middleware").PATH,
    }
    used = {pair for rule in rules for pair in re.findall(r'service="(\w+)", route="([^"]+)"', rule["expr"])}

    assert used == {("checkout", "/checkout/sessions"), ("webhooks", documents["webhooks"])}
    assert '@blueprint.post("/checkout/sessions")' in (ROOT / "services/checkout/checkout/api.py").read_text()


def test_dashboard_uses_exported_metrics(exported: set[str]) -> None:
    used = {name for query in queries() for name in METRIC.findall(query)}

    assert len(used) >= 12
    assert used - exported == set()


def test_every_own_metric_is_on_the_dashboard_or_in_a_rule(rules: list[dict[str, Any]], exported: set[str]) -> None:
    used = {name for text in [*queries(), *(rule["expr"] for rule in rules)] for name in METRIC.findall(text)}
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in exported if METRIC.match(name)}
    shown = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in used}

    assert families - shown == set()


def test_every_alert_has_a_severity_and_a_summary(alerts: list[dict[str, Any]]) -> None:
    assert {rule["labels"]["severity"] for rule in alerts} == {"page", "ticket", "none"}
    assert [rule["alert"] for rule in alerts if not rule["annotations"]["summary"].endswith((".", ")"))] == []


def test_every_alert_has_a_section_in_the_runbook(alerts: list[dict[str, Any]]) -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in alerts)
    for rule in alerts:
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_section_has_commands_for_compose_and_kubernetes() -> None:
    _, *sections = re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)

    assert len(sections) > 40
    for section in sections:
        name, body = section.partition("\n")[::2]
        commands = [line for line in body.splitlines() if line.startswith("    ")]
        assert any("docker compose" in line or "http://127.0.0.1" in line for line in commands), name
        assert any("kubectl" in line for line in commands), name


def test_runbook_names_services_and_programs_that_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    text = RUNBOOK.read_text()
    named = set(re.findall(r"docker compose (?:exec|restart|run)(?: -T| --rm)* ([a-z-]+)", text))
    deployed = set(re.findall(r"deploy/([a-z]+(?:-worker)?)(?= |$)", text, re.MULTILINE))

    assert len(named) >= 8
    assert named - services.keys() == set()
    assert deployed <= {f"{service}{kind}" for service in SERVICES for kind in ("", "-worker")} - {"webhooks-worker"}


def test_every_alert_is_raised_by_a_promtool_case(
    alerts: list[dict[str, Any]], alert_tests: list[dict[str, Any]]
) -> None:
    raised = {
        label
        for case in alert_tests
        for expected in case["promql_expr_test"]
        for sample in expected["exp_samples"]
        for label in re.findall(r'alertname="(\w+)"', sample["labels"])
    }

    assert raised == {rule["alert"] for rule in alerts}


def test_inhibitions_name_alerts_that_exist(alerts: list[dict[str, Any]], inhibitions: list[dict[str, Any]]) -> None:
    known = {rule["alert"] for rule in alerts} | {"BudgetBurns.+"}
    matchers = [each for rule in inhibitions for each in (*rule["source_matchers"], *rule["target_matchers"])]
    named = {name for matcher in matchers for name in names_of_alerts(matcher)}

    assert len(named) > 20
    assert named - known == set()


def test_cause_fires_before_the_symptoms_that_it_inhibits(
    alerts: list[dict[str, Any]], inhibitions: list[dict[str, Any]]
) -> None:
    def wait_s(name: str) -> float:
        [rule] = [rule for rule in alerts if rule["alert"] == name]
        windows = [seconds(each) for each in re.findall(r"\[(\w+)\]", rule["expr"])]
        ages = [float(each) for each in re.findall(r"_seconds(?:\{[^}]*\})?\)* > (\d+)", rule["expr"])]
        return seconds(rule.get("for", "0s")) + max([*ages, *(window / 4 for window in windows)], default=0)

    pages = {rule["alert"] for rule in alerts if rule["labels"]["severity"] == "page"}
    compared = 0
    for rule in inhibitions:
        sources = set().union(*map(names_of_alerts, rule["source_matchers"])) & pages
        targets = set().union(*map(names_of_alerts, rule["target_matchers"])) & pages
        for source in sources & {"BrokerDown", "BrokerBlocked", "DatabaseDown", "ServiceDown"}:
            for target in targets - {"BrokerBlocked", "QueueNotDeclared"}:  # these two are rare without their source
                compared += 1
                assert wait_s(source) < wait_s(target), f"{target} can be sent before {source}"
    assert compared > 10


def test_stranger_cannot_wake_a_person(alerts: list[dict[str, Any]]) -> None:
    [signatures] = [rule for rule in alerts if rule["alert"] == "SignaturesFail"]
    pages = [rule for rule in alerts if rule["labels"]["severity"] == "page"]

    assert signatures["labels"]["severity"] == "ticket"
    assert [rule["alert"] for rule in pages if "bad-signature" in rule["expr"]] == []
    assert [rule["alert"] for rule in pages if re.search(r'status=~"[^"]*4', rule["expr"])] == []


def seconds(duration: str) -> float:
    matched = re.fullmatch(r"(\d+)([smhd])", duration)
    assert matched, duration
    return float(matched[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[matched[2]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "test rules alerts_test.yml", "test rules quiet_test.yml"]
)
def test_promtool_accepts_configuration_and_alert_tests(command: str) -> None:
    done = subprocess.run(
        ["promtool", *command.split()], cwd=ALERTS.parent, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=BrokerDown severity=page", "page"),
        ("alertname=SignaturesFail severity=ticket", "ticket"),
        ("alertname=Watchdog severity=none", "watchdog"),
        ("alertname=Unknown", "ticket"),
    ],
)
def test_alertmanager_routes_by_severity(labels: str, receiver: str) -> None:
    command = ["amtool", "config", "routes", "test", f"--config.file={ROUTES}", f"--verify.receivers={receiver}"]
    done = subprocess.run([*command, *labels.split()], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
