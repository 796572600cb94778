"""Purchases while something breaks: nothing is lost, and nothing happens twice."""

import threading

import pytest
from events.testing.servers import wait_until

from tests.faults.bench import Bench, selected
from tests.faults.faults import BRIEF, FAULTS
from tests.faults.ledger import Ledger
from tests.faults.report import Report, row

RATE = 6  # purchases a second, some forty events: enough to be in every stage when a fault strikes
AROUND = 2.0  # seconds of load before and after the fault
DELIVERED_WITHIN = 120.0  # seconds without one more delivery
DRAINED_WITHIN = 150.0  # seconds in which nothing changes; an event's third retry comes 144 after the second at most
BY_NAME = {fault.name: fault for fault in FAULTS}

pytestmark = pytest.mark.timeout(900)  # the bounds above find what is stuck


@pytest.mark.parametrize("name", selected(BY_NAME, BRIEF))
def test_nothing_is_lost_and_nothing_happens_twice(bench: Bench, name: str, report: Report) -> None:
    fault = BY_NAME[name]
    load = bench.load(round(RATE * (fault.short + AROUND)), RATE)
    with load:
        wait_until(lambda: load.acknowledged, DELIVERED_WITHIN, "the first event")
        with fault.strike(bench):
            _hold(fault.short)
        load.wait(DELIVERED_WITHIN)
        _audit(bench, report, name, load.ledger, load.began)


def test_deliveries_that_are_doubled_and_out_of_order_take_effect_once(bench: Bench, report: Report) -> None:
    with bench.load(30, 3 * RATE, doubled=0.6, twinned=0.4) as load:
        load.wait(DELIVERED_WITHIN)
        _audit(bench, report, "doubled, described twice, out of order", load.ledger, load.began)


def _hold(seconds: float) -> None:
    threading.Event().wait(seconds)


def _audit(bench: Bench, report: Report, fault: str, ledger: Ledger, since: float) -> None:
    bench.ledger.add(ledger)
    drained = bench.settle(DRAINED_WITHIN)
    findings = bench.auditor.audit(bench.ledger)
    report.rows.append(row(fault, ledger, bench.auditor, findings, since, drained))
    assert findings == []
    assert report.rows[-1].handled == len(ledger.events)
