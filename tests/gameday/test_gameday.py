"""The game day: for each fault, the right page arrives in time as an e-mail, and no other page does.

`make gameday` runs it. It needs Debian's prometheus, prometheus-alertmanager and prometheus-postgres-exporter.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from events.testing.ports import free_port
from events.testing.servers import local
from events.testing.waiting import wait_until

from demo.system import SERVICES
from tests.e2e.processes import ROOT, WITH_DATABASE, wait_until_ready
from tests.faults.rig import Rig, running_rig
from tests.gameday.faults import FAULTS, GameDayFault, Ports
from tests.gameday.monitoring import Monitoring, missing_programs, running_monitoring
from tests.gameday.report import Report, Row
from tests.gameday.scaling import waits_s
from tests.gameday.shoppers import Shoppers

FACTOR = float(os.environ.get("GAMEDAY_FACTOR") or 15)
SLACK_S = 40.0  # two scrapes, a message's way, and a busy machine
QUIET_TIMEOUT_S = 420.0  # until all alerts of a fault have ended
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
BY_ALERT = {rule["alert"]: rule for rule in RULES if "alert" in rule}
PAGES = {name for name, rule in BY_ALERT.items() if rule["labels"]["severity"] == "page"}

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif("GAMEDAY" not in os.environ, reason="only `make gameday` runs it"),
    pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"),
]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    versions = [
        subprocess.run([name, "--version"], check=False, capture_output=True, text=True)
        for name in ("prometheus", "prometheus-alertmanager")
    ]
    found = [re.search(r"(\w+), version (\S+)", each.stdout + each.stderr) for each in versions]
    made = Report(FACTOR, ", ".join(f"{each[1].capitalize()} {each[2]}" for each in found if each) + ".")
    yield made
    print(f"\n{made.text()}")


@pytest.fixture(scope="module")
def ports() -> Ports:
    kinds = [*((service, "web") for service in SERVICES), *((service, "worker") for service in WITH_DATABASE)]
    return Ports({process: free_port() for process in kinds})


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, ports: Ports, metrics_port: int) -> Iterator[Rig]:
    with running_rig(
        tmp_path_factory.mktemp("rig"), Rig, private_broker=partial(local.rabbitmq, metrics_port)
    ) as running:
        for process in ports.numbers:
            ports.restart(running, *process)
        wait_until_ready(running.system)
        yield running


@pytest.fixture(scope="module")
def monitoring(
    tmp_path_factory: pytest.TempPathFactory, rig: Rig, ports: Ports, metrics_port: int
) -> Iterator[Monitoring]:
    targets = [
        {"service": service, "kind": kind, "address": f"127.0.0.1:{port}"}
        for (service, kind), port in ports.numbers.items()
    ]
    folder = tmp_path_factory.mktemp("monitoring")
    with running_monitoring(folder, targets, metrics_port, rig.postgres, FACTOR) as running, Shoppers(rig) as shoppers:
        wait_until(lambda: not running.targets_down(), 120, "all targets", progress=running.targets_down)
        wait_until(lambda: shoppers.bought > 5, 120, "purchases", progress=lambda: shoppers.bought)
        yield running


def test_rules_use_metrics_that_the_running_system_has(monitoring: Monitoring) -> None:
    names = {
        name
        for rule in RULES
        for name in re.findall(r"\b(?:clozit|pg|rabbitmq)_\w+", rule["expr"])
        if "job_" not in name and name != "clozit_reconcile_differences"  # the game day runs no scheduled jobs
    }
    rare = {"clozit_queue_declare_failures_total"}  # its series begin with the first failure

    def missing() -> set[str]:
        return {name for name in names - rare if not monitoring.has_series(name)}

    wait_until(lambda: not missing(), 90, "all metrics", progress=missing)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_causes_the_right_page_in_time_and_no_other(
    rig: Rig, ports: Ports, monitoring: Monitoring, report: Report, fault: GameDayFault
) -> None:
    wait_until(lambda: not monitoring.coming_pages(), QUIET_TIMEOUT_S, "quiet", progress=monitoring.coming_pages)
    limit_s = sum(waits_s(BY_ALERT[fault.alert])) / FACTOR + SLACK_S
    before, began, fired_s = len(monitoring.mailbox.messages), time.monotonic(), None
    seen: set[str] = set()
    with fault.inject(rig, ports):
        while ("PAGE", fault.alert) not in monitoring.sent(before):
            passed = time.monotonic() - began
            firing = monitoring.firing()
            seen |= {alert["alertname"] for alert in firing}
            if fired_s is None and any(fault.matches(alert) for alert in firing):
                fired_s = passed
            assert passed < 2 * limit_s, f"no page after {passed:.0f} s; {firing}; {monitoring.sent(before)}"
            time.sleep(0.5)
        sent_s = time.monotonic() - began

    def watch() -> bool:
        seen.update(alert["alertname"] for alert in monitoring.firing())
        return not monitoring.coming_pages()

    wait_until(watch, QUIET_TIMEOUT_S, "an end of all pages", progress=monitoring.coming_pages)
    sent = monitoring.sent(before)
    pages = {name for kind, name in sent if kind == "PAGE"}
    tickets = {name for kind, name in sent if kind == "ticket"}
    row = Row(
        fault.name,
        fault.alert,
        fired_s or sent_s,
        sent_s,
        limit_s,
        frozenset(pages - {fault.alert}),
        frozenset((seen & PAGES) - pages),
        frozenset(tickets),
    )
    report.rows.append(row)
    print(" | ".join(row.cells()))
    if path := os.environ.get("GAMEDAY_REPORT"):
        Path(path).write_text(report.text())
    assert fired_s is not None, f"the alert has not the labels {fault.labels}"
    assert sent_s < limit_s
    assert pages == {fault.alert}
