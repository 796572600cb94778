"""Scheduled jobs: commands that one process repeats, with health and metrics as a worker has.

A job runs at once, and then `every` after the start of its previous run. After a run that failed, it runs again
earlier. SIGTERM and SIGINT ask the current run to end after its current step. A job must survive a kill at any line.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from queue import Empty, SimpleQueue
from typing import TypeVar

from prometheus_client import Counter, Gauge

from events.clock import utcnow
from events.config import Common
from events.messaging.background import Background
from events.observability.logging import configure_logging, get_logger
from events.observability.metrics import from_zero
from events.web.health import Check, Health, HealthServer

RETRY_PAUSE_S = 60.0  # after a run that failed: outages often last minutes, and a run costs few calls
STOP_TIMEOUT_S = 8.0  # for the current step of a run; orchestrators wait 10
SIGNAL_POLL_S = 1.0  # a signal usually wakes the main thread, but the system may give it to another thread

LAST_SUCCESS = Gauge(
    "clozit_job_last_success_timestamp_seconds",
    "Unix time of a job's last success; before the first success, of its process's start",
    ["job_name"],
)
RUNS = Counter("clozit_job_runs_total", "Runs of a scheduled job by outcome", ["job_name", "outcome"])

ResultT = TypeVar("ResultT")

log = get_logger(__name__)


class Outcome(StrEnum):
    """The result of a run: everything is done, an error ended it, or it was stopped or has left something out."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class ScheduledJob:
    """A job that a process repeats.

    `run` gets an event that is set when the process must stop. It returns soon after that. `checks` raise while the job
    cannot work. `last_success` returns the time of the last success of earlier processes, if it is stored.
    """

    name: str
    every: timedelta
    run: Callable[[threading.Event], Outcome]
    checks: Mapping[str, Check] = field(default_factory=dict)
    last_success: Callable[[], datetime | None] = lambda: None


def repeat(config: Common, job: ScheduledJob) -> None:
    """Run the job again and again until SIGTERM or SIGINT. Serves health and metrics on HEALTH_PORT."""
    configure_logging(config.service, config.log_level)
    from_zero(RUNS, [job.name], list(Outcome))
    LAST_SUCCESS.labels(job.name).set(utcnow().timestamp())
    with ExitStack() as stack:
        if config.health_port:
            stack.enter_context(closing(HealthServer(config.health_port, Health(job.checks))))
        log.info("job started", job=job.name, every_s=job.every.total_seconds())
        run_until_signal(lambda stop: _repeat(job, stop))
    log.info("job stopped", job=job.name)


def run_until_signal(work: Callable[[threading.Event], ResultT]) -> ResultT:
    """Call `work` on a separate thread and return its result. SIGTERM and SIGINT set the event that `work` gets.

    Raises `TimeoutError` if `work` has not returned `STOP_TIMEOUT_S` after the signal.
    """
    stop = threading.Event()
    background = Background("job")  # a daemon: a call that hangs does not keep the process
    ended: SimpleQueue[bool] = SimpleQueue()
    with _on_stop_signal(lambda: ended.put(False)), closing(background):
        future = background.submit(lambda: work(stop))
        future.add_done_callback(lambda _future: ended.put(True))
        if _wait_for(ended):
            return future.result()
        stop.set()
        return future.result(STOP_TIMEOUT_S)


def _wait_for(ended: "SimpleQueue[bool]") -> bool:
    """Wait for the queue's first value and return it: True if the work ended, False if a stop signal came first.

    Wakes every `SIGNAL_POLL_S`, because the handler of a signal runs only while this thread does.
    """
    while True:
        with suppress(Empty):
            return ended.get(timeout=SIGNAL_POLL_S)


@contextmanager
def _on_stop_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at SIGTERM and SIGINT in the block. `act` must be reentrant, because it can interrupt any line."""
    before = {number: signal.signal(number, lambda *_arguments: act()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _repeat(job: ScheduledJob, stop: threading.Event) -> None:
    is_known = False
    while not stop.is_set():
        began_at = time.monotonic()
        if not is_known:
            is_known = _restore_last_success(job)
        outcome = _run_once(job, stop)
        pause = job.every.total_seconds() - (time.monotonic() - began_at)
        if outcome is Outcome.FAILED:
            pause = min(job.every.total_seconds(), RETRY_PAUSE_S)
        stop.wait(max(0.0, pause))


def _restore_last_success(job: ScheduledJob) -> bool:
    """Set the metric to the stored time, if there is one. Return False if it could not be read."""
    try:
        stored = job.last_success()
    except Exception as error:  # noqa: BLE001 - the run that follows fails, too, and reports it
        log.warning("last success not read", job=job.name, error=str(error))
        return False
    if stored is not None:
        LAST_SUCCESS.labels(job.name).set(stored.timestamp())
    return True


def _run_once(job: ScheduledJob, stop: threading.Event) -> Outcome:
    try:
        outcome = job.run(stop)
    except Exception:
        log.exception("job failed", job=job.name)
        outcome = Outcome.FAILED
    RUNS.labels(job.name, outcome).inc()
    if outcome is Outcome.SUCCEEDED:
        LAST_SUCCESS.labels(job.name).set(utcnow().timestamp())
    log.info("job ran", job=job.name, outcome=outcome)
    return outcome
