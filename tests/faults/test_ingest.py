"""The ingest while its broker is frozen, blocked, dead or cut off: it answers 503 in time and recovers by itself."""

import threading

import pytest
from events.messaging import publisher

from tests.faults.faults import Break, cut_connections, frozen_broker, killed_broker, memory_alarm, silent_network
from tests.faults.ingest_probe import IngestProbe, start_health_checks
from tests.faults.report import Report
from tests.faults.rig import Rig, selected

ANSWER_LIMIT_S = 3.5  # as documented
BUSY_FACTOR = 2  # a busy machine may take this many times as long as for the same posts while the broker is there
RECOVERY_LIMIT_S = 5.0  # after the broker's return, as documented
RECOVERY_TIMEOUT_S = 30.0
AT_ONCE = 48  # posts: half as many again as the ingest has threads
REFUSED_POSTS = 5_000
GROWTH_LIMIT_KB = 16 * 1024  # the bodies of so many refused posts would take more, if they were kept

pytestmark = pytest.mark.timeout(900)

IN_EVERY_TEST_RUN = ("frozen", "cut off")
STATES: dict[str, Break] = {
    "frozen": frozen_broker,
    "blocked by its memory alarm": memory_alarm,
    "dead": killed_broker,
    "cut off": cut_connections,
    "silent": silent_network,
}


@pytest.mark.parametrize("state", selected(STATES, IN_EVERY_TEST_RUN))
def test_ingest_without_broker_answers_503_in_time_and_recovers(rig: Rig, state: str, report: Report) -> None:
    probe = IngestProbe(rig, AT_ONCE)
    accepted = probe.post_many(2 * AT_ONCE, AT_ONCE)
    assert {status for status, _ in accepted} == {200}
    busy_s = BUSY_FACTOR * max(seconds for _, seconds in accepted)
    limit_s = max(ANSWER_LIMIT_S, publisher.CONFIRM_TIMEOUT_S + busy_s)
    with STATES[state](rig):
        over = threading.Event()
        health_check_times = start_health_checks(probe, over)
        refused = probe.post_many(2 * AT_ONCE, AT_ONCE)
        over.set()
        slowest_check_s = max(health_check_times())
    recovery_s = probe.time_recovery(RECOVERY_TIMEOUT_S)

    rig.ledger.add(probe.deliver_all())
    slowest_s = max(seconds for _, seconds in refused)
    report.notes.append(
        f"Broker {state}: {len(refused)} posts, {AT_ONCE} at once, refused within {slowest_s:.2f} s;"
        f" /healthz within {slowest_check_s:.2f} s; an event acknowledged {recovery_s:.2f} s after the broker's return."
    )
    assert {status for status, _ in refused} == {503}
    assert slowest_s <= limit_s
    assert slowest_check_s <= limit_s
    assert recovery_s <= RECOVERY_LIMIT_S + busy_s


def test_refused_posts_leave_nothing_in_memory(rig: Rig, report: Report) -> None:
    probe = IngestProbe(rig, AT_ONCE)
    with cut_connections(rig):
        probe.post_many(REFUSED_POSTS // 10, AT_ONCE)  # fills threads, buffers and caches
        before_kb = probe.memory_kb()
        refused = probe.post_many(REFUSED_POSTS, AT_ONCE)
        after_kb = probe.memory_kb()
    rig.ledger.add(probe.deliver_all())

    report.notes.append(
        f"{REFUSED_POSTS:,} refused posts: the ingest used {before_kb:,} kB before and {after_kb:,} kB after them."
    )
    assert {status for status, _ in refused} == {503}
    assert after_kb - before_kb <= GROWTH_LIMIT_KB
