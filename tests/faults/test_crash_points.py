"""SIGKILL at each named point between receive, commit, ack, claim, publish and mark."""

import signal
from collections.abc import Sequence

import pytest
from events.testing.servers import wait_until

from tests.faults.bench import Bench, selected
from tests.faults.crashing import CONSUMER, INGEST, RELAY, RETRY, SENDER
from tests.faults.report import Report, row

CONSUMERS = ("checkout", "orders", "inventory", "notifications")
RELAYS = ("checkout", "orders")  # inventory publishes only what went wrong
DIES_WITHIN = 120.0  # seconds; a process starts in two, and is started beside many others on a busy machine
WITHIN = 150.0  # seconds without one more delivery, or in which nothing more is settled (an event's third retry)
PURCHASES = 5  # the smallest load of which every service gets something
RATE = 20

BRIEF = ("committed", "published", "event confirmed")  # the doubtful moment of each: done, and nobody told

Victims = Sequence[tuple[str, str]]
POINTS: dict[str, Victims] = {
    **{point: [(service, "worker") for service in CONSUMERS] for point in CONSUMER},
    **{point: [("orders", "worker")] for point in RETRY},
    **{point: [(service, "worker") for service in RELAYS] for point in RELAY},
    **{point: [("notifications", "worker")] for point in SENDER},
    **{point: [("webhooks", "web")] for point in INGEST},
}

pytestmark = pytest.mark.timeout(900)  # the bounds above find what is stuck


@pytest.mark.parametrize("point", selected(POINTS, BRIEF))
def test_crash_at(bench: Bench, point: str, report: Report) -> None:
    victims = POINTS[point]
    for victim in victims:
        bench.kill(*victim)
        bench.start(*victim, CRASH_AT=point)
    with bench.load(PURCHASES, RATE, early=1.0) as load:
        died = []
        for victim in victims:  # one after the other: notifications hear of nothing until orders are back
            wait_until(lambda victim=victim: load.sound() and bench.fleet.has_ended(*victim), DIES_WITHIN, point)
            died.append(bench.fleet.wait(*victim))
            bench.start(*victim)
        load.wait(WITHIN)
    bench.ledger.add(load.ledger)
    drained = bench.settle(WITHIN)
    findings = bench.auditor.audit(bench.ledger)
    services = ", ".join(service for service, _ in victims)
    name = f"crash at {point}: {services}"
    report.rows.append(row(name, load.ledger, bench.auditor, findings, load.began, drained))
    assert died == [-signal.SIGKILL] * len(victims)
    assert findings == []
