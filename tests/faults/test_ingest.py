"""The ingest while its broker is frozen, blocked, dead or cut off: a prompt no, a pulse, and back by itself."""

import threading

import pytest
from events.messaging import publisher

from tests.faults.bench import Bench, selected
from tests.faults.faults import Break, cut_connections, frozen_broker, killed_broker, memory_alarm, silent_network
from tests.faults.ingest import Probe, pulses
from tests.faults.report import Report

ANSWERED_WITHIN = 3.5  # seconds: the promise
BUSY = 2  # times what the same posts take while the broker is there: on an idle machine less than the promise leaves
BACK_WITHIN = 5.0  # seconds after the broker's return: the promise
AT_ONCE = 48  # half as many again as the ingest has threads
REFUSED = 5_000
GROWTH = 16 * 1024  # kB that so many refusals may leave behind: kept, their bodies alone would take more

pytestmark = pytest.mark.timeout(900)

BRIEF = ("frozen", "cut off")
STATES: dict[str, Break] = {
    "frozen": frozen_broker,
    "blocked by its memory alarm": memory_alarm,
    "dead": killed_broker,
    "cut off": cut_connections,
    "silent": silent_network,
}


@pytest.mark.parametrize("state", selected(STATES, BRIEF))
def test_absent_broker_is_answered_503_in_time_and_recovered_from(bench: Bench, state: str, report: Report) -> None:
    probe = Probe(bench, AT_ONCE)
    answered = probe.flood(2 * AT_ONCE, AT_ONCE)
    assert {status for status, _ in answered} == {200}
    within = max(ANSWERED_WITHIN, publisher.CONFIRM_TIMEOUT_S + BUSY * max(seconds for _, seconds in answered))
    with STATES[state](bench):
        over = threading.Event()
        taken = pulses(probe, over)
        answers = probe.flood(2 * AT_ONCE, AT_ONCE)
        over.set()
        slowest_pulse = max(taken())
    back = probe.back(within=30)

    bench.ledger.add(probe.deliver())
    slowest = max(seconds for _, seconds in answers)
    report.notes.append(
        f"Broker {state}: {len(answers)} posts, {AT_ONCE} at once, refused within {slowest:.2f} s;"
        f" /healthz within {slowest_pulse:.2f} s; an event acknowledged {back:.2f} s after the broker's return."
    )
    assert {status for status, _ in answers} == {503}
    assert slowest <= within
    assert slowest_pulse <= within
    assert back <= BACK_WITHIN


def test_refused_posts_leave_nothing_in_memory(bench: Bench, report: Report) -> None:
    probe = Probe(bench, AT_ONCE)
    with cut_connections(bench):
        probe.flood(REFUSED // 10, AT_ONCE)  # threads, buffers and caches are there after these
        before = probe.memory()
        answers = probe.flood(REFUSED, AT_ONCE)
        after = probe.memory()
    bench.ledger.add(probe.deliver())

    report.notes.append(f"{REFUSED:,} refused posts: the ingest held {before:,} kB before and {after:,} kB after.")
    assert {status for status, _ in answers} == {503}
    assert after - before <= GROWTH
