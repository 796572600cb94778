"""The long form: FAULTS_EVENTS acknowledged events, with one fault after the other all along."""

import threading
import time
from collections import Counter

import pytest
from events.testing.servers import wait_until

from tests.faults.bench import EVENTS, Bench
from tests.faults.faults import FAULTS
from tests.faults.report import Report, row

EVENTS_A_PURCHASE = 4.5  # fewer than they are, so that the load exceeds what was asked for
RATE = 60  # purchases a second at most; the machine decides
REST = (3.0, 12.0)  # seconds between two faults
DELIVERED_WITHIN = 4 * 3600.0
DRAINED_WITHIN = 900.0  # the mails of killed senders wait for their leases' end

pytestmark = [
    pytest.mark.timeout(DELIVERED_WITHIN + DRAINED_WITHIN),
    pytest.mark.skipif(not EVENTS, reason="make faults FAULTS_EVENTS=100000 plays it"),
]


def test_long_run_loses_nothing_and_does_nothing_twice(bench: Bench, report: Report) -> None:
    bench.mail_lease = ""
    bench.restart("notifications", "worker")
    chance, struck, pause, began = bench.chance(), Counter[str](), threading.Event(), time.monotonic()
    with bench.load(round(EVENTS / EVENTS_A_PURCHASE), RATE) as load:
        wait_until(lambda: load.acknowledged, 60, "the first event")
        while not load.is_done():
            fault = chance.choice(FAULTS)
            with fault.strike(bench):
                pause.wait(fault.lasts(chance))
            struck[fault.name] += 1
            pause.wait(chance.uniform(*REST))
        load.wait(DELIVERED_WITHIN)
    bench.ledger.add(load.ledger)
    drained = bench.settle(DRAINED_WITHIN)
    findings = bench.auditor.audit(bench.ledger)
    report.rows.append(row("long run, all of them", load.ledger, bench.auditor, findings, load.began, drained))
    played = ", ".join(f"{name} {count}x" for name, count in struck.most_common())
    copies = sum(bench.letterbox.caught.values()) - len(bench.letterbox.caught)
    report.notes.append(
        f"Long run: {len(load.ledger.purchases):,} purchases in {(time.monotonic() - began) / 60:.0f} minutes,"
        f" {struck.total()} faults ({played}); {copies} mails went out again under the same Message-ID."
    )
    assert findings == []
    assert len(load.ledger.acknowledged) >= EVENTS
