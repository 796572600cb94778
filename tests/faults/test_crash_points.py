"""SIGKILL at each crash point: between receiving, committing, acking, claiming, publishing and marking."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from events.testing.waiting import wait_until

from tests.e2e.processes import wait_until_ready
from tests.faults.crash_points import CONSUMER, INGEST, POINTS, RELAY, RETRY, SENDER
from tests.faults.report import Report, Row
from tests.faults.rig import Rig, selected

CONSUMERS = ("checkout", "orders", "inventory", "notifications")
RELAYS = ("checkout", "orders")  # inventory publishes only problems, which these purchases do not have
CRASH_TIMEOUT_S = 120.0  # a process starts in two seconds, and much later on a busy machine
STALL_TIMEOUT_S = 150.0  # an event's third retry comes up to 144 seconds after the second
PURCHASES = 5  # the smallest load in which every service handles something
RATE = 20  # purchases per second
LOADS = 5  # at most: a busy worker takes an early event together with its cause, and then retries nothing

IN_EVERY_TEST_RUN = (  # the effect has happened, and the other side does not know it
    "event committed, not acked",
    "outbox event confirmed, not marked",
    "webhook confirmed, not answered",
)

Processes = Sequence[tuple[str, str]]  # service and kind
PROCESSES: dict[str, Processes] = {  # that reach each point
    **{point.name: [(service, "worker") for service in CONSUMERS] for point in CONSUMER},
    **{point.name: [("orders", "worker")] for point in RETRY},
    **{point.name: [(service, "worker") for service in RELAYS] for point in RELAY},
    **{point.name: [("notifications", "worker")] for point in SENDER},
    **{point.name: [("webhooks", "web")] for point in INGEST},
}

pytestmark = pytest.mark.timeout(900)  # the shorter limits above find what is stuck


@pytest.mark.parametrize("name", POINTS)
def test_crash_point_wraps_a_function_of_its_owner(name: str) -> None:
    point = POINTS[name]
    assert getattr(point.owner, point.function.__name__) is point.function
    assert PROCESSES[name]


def test_crash_points_are_reached_by_their_processes(rig: Rig, tmp_path: Path) -> None:
    log = tmp_path / "reached"
    processes = sorted({process for victims in PROCESSES.values() for process in victims})
    for process in processes:
        rig.kill(*process)
    wait_until(lambda: rig.consumer_counts() == {0}, CRASH_TIMEOUT_S, "the end of all consumers")
    for process in processes:
        rig.start(*process, CRASH_POINTS_LOG=str(log))
    wait_until(lambda: rig.consumer_counts() == {1}, CRASH_TIMEOUT_S, "a consumer of each service")
    missing = {f"{service} {kind}: {name}" for name, victims in PROCESSES.items() for service, kind in victims}
    for _ in range(LOADS):
        with rig.load(PURCHASES, RATE, early_share=1.0) as load:
            load.wait(STALL_TIMEOUT_S)
        rig.ledger.add(load.ledger)
        rig.wait_until_drained(STALL_TIMEOUT_S)
        missing -= set(log.read_text().splitlines())
        if not missing:
            break
    for process in processes:
        rig.restart(*process)
    wait_until_ready(rig.system)
    assert missing == set()


@pytest.mark.parametrize("name", selected(POINTS, IN_EVERY_TEST_RUN))
def test_crash_loses_nothing_and_duplicates_nothing(rig: Rig, name: str, report: Report) -> None:
    victims = PROCESSES[name]
    for victim in victims:
        rig.restart(*victim, CRASH_AT=name)
    with rig.load(PURCHASES, RATE, early_share=1.0) as load:
        exit_codes = []
        for victim in victims:  # in turn: notifications gets no event before orders is back

            def has_crashed(victim: tuple[str, str] = victim) -> bool:
                load.raise_failure()
                return rig.processes.has_ended(*victim)

            wait_until(has_crashed, CRASH_TIMEOUT_S, name)
            exit_codes.append(rig.processes.wait(*victim))
            rig.start(*victim)
        load.wait(STALL_TIMEOUT_S)
    rig.ledger.add(load.ledger)
    drain_s = rig.wait_until_drained(STALL_TIMEOUT_S)
    findings = rig.auditor.audit(rig.ledger)
    fault = f"crash, {name}: {', '.join(service for service, _ in victims)}"
    report.rows.append(Row.measure(fault, load.ledger, rig.auditor, findings, began_at=load.began_at, drain_s=drain_s))
    assert exit_codes == [-signal.SIGKILL] * len(victims)
    assert findings == []
