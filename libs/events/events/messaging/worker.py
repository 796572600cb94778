"""A worker: one service's consumer, relay, retries and periodic jobs, each on a thread of its own."""

import signal
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from prometheus_client.registry import Collector

from events.clock import utcnow
from events.config import Common
from events.database.engine import Database
from events.database.errors import is_away
from events.database.migrations import Chain, check
from events.database.notify import Signal, listen
from events.messaging import inbox, outbox, publisher
from events.messaging.consumer import PAUSED, Consumer
from events.messaging.handlers import Handlers
from events.messaging.loops import FAILURE_PAUSE_S, Job, Loop, Loops
from events.messaging.publisher import Publisher
from events.messaging.relay import Relay
from events.messaging.runner import Runner
from events.observability import tracing
from events.observability.backlog_metrics import InboxBacklog, OutboxBacklog
from events.observability.logging import configure_logging, get_logger
from events.web.health import Health, HealthServer

RETRY_POLL_S = 5.0  # between polls of the inbox when nothing wakes the loop
RELAY_POLL_S = 5.0  # between polls of the outbox when nothing wakes the loop
CLAIMED_ELSEWHERE_PAUSE_S = 1.0  # due events that another worker has claimed are looked for again after this
PRUNE_INTERVAL_S = 3600.0  # rows are kept for days, so an hour more does not matter
RELAY_FAILURE_PAUSE_S = 1.0  # a broker is often back at once, and events wait for the relay
STOP_TIMEOUT_S = 6.0  # for all threads together, then up to 3.8 for the publisher; orchestrators wait 10

log = get_logger(__name__)


class Worker:
    """A service's background work. Call `run` in a process of its own, or `start` and `stop` within another process.

    `loops` and `consumer` are for a caller that runs each step itself, without threads. `broker` is the publisher to
    use: without it, a worker that `publishes` connects its own.
    """

    def __init__(
        self,
        config: Common,
        database: Database,
        handlers: Handlers,
        *,
        chains: Sequence[Chain] = (),
        jobs: Sequence[Job] = (),
        publishes: bool = True,
        broker: Publisher | None = None,
    ) -> None:
        """Prepare a worker. It starts to work once the database has the tables of `chains`."""
        self._config = config
        self._database = database
        self._chains = chains
        self._paused = False
        self._stop_by: float | None = None
        self._runner = Runner(database, handlers)
        self.consumer = Consumer(
            config.broker_url,
            config.service,
            database,
            self._runner,
            gate=self._reason_to_rest,
            is_paused=lambda: self._paused,
            declare=config.declare_topology,
        )
        self._publisher = _publisher(config, broker) if publishes else None
        self._relay = Relay(database, self._publisher) if self._publisher else None
        self._channels = [inbox.CHANNEL, *(job.on for job in jobs if job.on)]
        self.loops = [
            Loop("retries", self._retry_due, database.signal(inbox.CHANNEL)),
            *(self._loop(job) for job in [Job("prune", PRUNE_INTERVAL_S, self._prune), *jobs]),
        ]
        if self._relay:
            self._channels.append(outbox.CHANNEL)
            outbox_signal = database.signal(outbox.CHANNEL)
            self.loops.append(Loop("relay", self._drain, outbox_signal, failure_pause_s=RELAY_FAILURE_PAUSE_S))
        if database.is_postgresql:
            self.loops.append(Loop("listen", self._listen, Signal()))
        self._loops = Loops(config.service, self.loops, lambda: check(database, chains))

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, then finish the current messages and return."""
        configure_logging(self._config.service, self._config.log_level)
        tracing.configure(self._config.service)
        self._stop_on_signals()
        health = self._serve_health() if self._config.health_port else None
        self._loops.start()
        log.info("worker started", queue=self._config.service)
        try:
            self.consumer.run()
        finally:
            self.stop()
            if health:
                health.close()
            log.info("worker stopped")

    def start(self) -> None:
        """Work on threads of this process until `stop`."""
        self._loops.start()
        self._loops.spawn("consumer", self.consumer.run)

    def stop(self) -> None:
        """Finish the current messages, wait up to `STOP_TIMEOUT_S` for all threads, and disconnect from the broker."""
        stop_by = self._request_stop()
        for thread in list(self._loops.threads):
            thread.join(max(0.0, stop_by - time.monotonic()))
        if self._publisher:
            self._publisher.close()

    @property
    def is_paused(self) -> bool:
        """True if an operator had paused the consumer when the worker last read the database."""
        return self._paused

    def _stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT, on a thread of its own.

        A handler interrupts the main thread anywhere, also while it holds a lock that a stop needs. So handlers only
        put something into a queue, whose `put` is reentrant.
        """
        requests: SimpleQueue[None] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: requests.put(None))

        def wait() -> None:
            requests.get()
            self._request_stop()

        threading.Thread(target=wait, name="stop", daemon=True).start()

    def _request_stop(self) -> float:
        """Ask the consumer and the loops to end. Return the time by which all threads must have ended."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + STOP_TIMEOUT_S
        self.consumer.stop()
        self._loops.request_stop()
        return self._stop_by

    def _reason_to_rest(self) -> str | None:
        """Return why the consumer must not take messages now, or None."""
        if self._loops.waits_for:
            return self._loops.waits_for
        try:
            with self._database.read() as session:
                self._paused = inbox.is_paused(session)
        except Exception as error:
            if not is_away(error):
                raise
            return f"database away: {error}"
        return PAUSED if self._paused else None

    def _loop(self, job: Job) -> Loop:
        def run() -> float:
            job.run()
            return job.every_s

        job_signal = self._database.signal(job.on) if job.on else Signal()
        return Loop(job.name, run, job_signal, failure_pause_s=max(job.every_s, FAILURE_PAUSE_S))

    def _retry_due(self) -> float:
        self._runner.give_back()
        with self._database.read() as session:
            self._paused, due_at = inbox.next_due(session)
        if self._paused or due_at is None:
            return RETRY_POLL_S
        until_due = (due_at - utcnow()).total_seconds()
        if until_due > 0:
            return min(RETRY_POLL_S, until_due)
        # One batch per run, so that a pause or a stop does not wait for the whole backlog.
        return 0 if self._runner.retry_batch() else CLAIMED_ELSEWHERE_PAUSE_S

    def _prune(self) -> None:
        now = utcnow()
        inbox.drop_unhandled(self._database, now - inbox.UNHANDLED_RETENTION)
        inbox.prune(self._database, now - inbox.RETENTION)
        if self._relay:
            self._relay.prune(now)

    def _drain(self) -> float:
        assert self._relay is not None  # noqa: S101 - for the type checker; this loop exists only with a relay
        # One claim per run, so that a stop does not wait for the whole backlog.
        return 0 if self._relay.run_once() else RELAY_POLL_S

    def _listen(self) -> float:
        """Wake the loops that other processes notify, until the connection breaks or the worker stops."""
        database = self._database
        listen(database.engine.url, self._channels, database.signal, lambda: self._loops.is_stopping)
        return 0

    def _check(self) -> None:
        self._database.ping()
        self.consumer.check()

    def _serve_health(self) -> HealthServer:
        checks = {"worker": self._check}
        collectors: list[Collector] = [InboxBacklog(self._database)]
        if self._publisher:
            checks["publisher"] = self._publisher.check
            collectors.append(OutboxBacklog(self._database))
        return HealthServer(self._config.health_port, Health(checks, collectors))


def _publisher(config: Common, given: Publisher | None) -> Publisher:
    return given or publisher.connect(config.broker_url, declare=config.declare_topology)
