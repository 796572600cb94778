"""Purchases while something breaks: nothing is lost, and nothing happens twice."""

import threading

import pytest
from events.testing.waiting import wait_until

from tests.faults.faults import FAULTS, IN_EVERY_TEST_RUN
from tests.faults.load import Load
from tests.faults.report import Report, Row
from tests.faults.rig import Rig, selected

RATE = 6  # purchases per second, some forty events: enough to be in every stage when a fault begins
LOAD_AROUND_FAULT_S = 2.0
DELIVERY_STALL_TIMEOUT_S = 120.0
DRAIN_STALL_TIMEOUT_S = 150.0  # an event's third retry comes up to 144 seconds after the second
STALL_LIMIT_S = 45.0  # no service may finish nothing for longer, after any fault
BY_NAME = {fault.name: fault for fault in FAULTS}

pytestmark = pytest.mark.timeout(900)  # the shorter limits above find what is stuck


@pytest.mark.parametrize("name", selected(BY_NAME, IN_EVERY_TEST_RUN))
def test_fault_loses_nothing_and_duplicates_nothing(rig: Rig, name: str, report: Report) -> None:
    fault = BY_NAME[name]
    with rig.load(round(RATE * (fault.short_s + LOAD_AROUND_FAULT_S)), RATE) as load:
        wait_until(lambda: load.acknowledged, DELIVERY_STALL_TIMEOUT_S, "the first event")
        with fault.inject(rig):
            threading.Event().wait(fault.short_s)
        load.wait(DELIVERY_STALL_TIMEOUT_S)
        check(rig, report, name, load)


def test_duplicates_out_of_order_take_effect_once(rig: Rig, report: Report) -> None:
    with rig.load(30, 3 * RATE, duplicate_share=0.6, second_event_share=0.4) as load:
        load.wait(DELIVERY_STALL_TIMEOUT_S)
        check(rig, report, "events duplicated, described twice, out of order", load)


def check(rig: Rig, report: Report, fault: str, load: Load) -> None:
    rig.ledger.add(load.ledger)
    drain_s = rig.wait_until_drained(DRAIN_STALL_TIMEOUT_S)
    findings = rig.auditor.audit(rig.ledger)
    report.rows.append(Row.measure(fault, load.ledger, rig.auditor, findings, began_at=load.began_at, drain_s=drain_s))
    assert findings == []
    assert report.rows[-1].stall_s < STALL_LIMIT_S
    assert report.rows[-1].handled == len(load.ledger.events)
