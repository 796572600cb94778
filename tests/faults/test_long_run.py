"""The long run: FAULTS_EVENTS acknowledged events, with one random fault after another."""

import threading
import time
from collections import Counter

import pytest
from events.testing.waiting import wait_until

from tests.faults.faults import FAULTS
from tests.faults.report import Report, Row
from tests.faults.rig import LONG_RUN_EVENTS, Rig

EVENTS_PER_PURCHASE = 4.5  # a low estimate, so that the load exceeds FAULTS_EVENTS
RATE = 60  # purchases per second at most; the machine decides
PAUSE_RANGE_S = (3.0, 12.0)  # between two faults
DELIVERY_STALL_TIMEOUT_S = 4 * 3600.0
DRAIN_STALL_TIMEOUT_S = 900.0  # e-mails of killed senders wait until their leases have ended

pytestmark = [
    pytest.mark.timeout(DELIVERY_STALL_TIMEOUT_S + DRAIN_STALL_TIMEOUT_S),
    pytest.mark.skipif(not LONG_RUN_EVENTS, reason="only `make faults FAULTS_EVENTS=100000` runs it"),
]


def test_long_run_loses_nothing_and_duplicates_nothing(rig: Rig, report: Report) -> None:
    rig.mail_lease_s, rig.has_backlog = "", True
    rig.restart("notifications", "worker")
    seeded, injected, pause, began = rig.new_random(), Counter[str](), threading.Event(), time.monotonic()
    with rig.load(round(LONG_RUN_EVENTS / EVENTS_PER_PURCHASE), RATE) as load:
        wait_until(lambda: load.acknowledged, 60, "the first event")
        while not load.is_done():
            fault = seeded.choice(FAULTS)
            with fault.inject(rig):
                pause.wait(fault.random_duration_s(seeded))
            injected[fault.name] += 1
            pause.wait(seeded.uniform(*PAUSE_RANGE_S))
        load.wait(DELIVERY_STALL_TIMEOUT_S)
    rig.ledger.add(load.ledger)
    drain_s = rig.wait_until_drained(DRAIN_STALL_TIMEOUT_S)
    findings = rig.auditor.audit(rig.ledger)
    report.rows.append(
        Row.measure("long run, all faults", load.ledger, rig.auditor, findings, began_at=load.began_at, drain_s=drain_s)
    )
    faults = ", ".join(f"{name} {count}x" for name, count in injected.most_common())
    copies = sum(rig.mail_counter.counts.values()) - len(rig.mail_counter.counts)
    report.notes.append(
        f"Long run: {len(load.ledger.purchases):,} purchases in {(time.monotonic() - began) / 60:.0f} minutes,"
        f" {injected.total()} faults ({faults}); {copies} e-mails were sent again with the same Message-ID."
    )
    assert findings == []
    assert len(load.ledger.acknowledged) >= LONG_RUN_EVENTS
