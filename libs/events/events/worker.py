"""A worker: one service's consumer, relay, retries and periodic jobs, each on a thread of its own."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psycopg
from prometheus_client import Counter
from psycopg import sql

from events import inbox, outbox, publisher, tracing
from events.backlog import InboxBacklog, OutboxBacklog
from events.config import Common
from events.consumer import Consumer
from events.database import Database, is_away, utcnow
from events.handlers import Handlers
from events.metrics import from_zero
from events.relay import Relay
from events.runner import Runner
from events.signals import Signal
from events.telemetry import configure_logging, get_logger
from events.web import create_health_app

RETRY_POLL = 5.0  # seconds between looks into the inbox without a signal, and with nothing due before
RELAY_POLL = 5.0  # seconds between looks into the outbox without a signal
ELSEWHERE = 1.0  # seconds until what is due, but in another worker's hands, is looked for again
LISTEN_CHECK = 2.0  # seconds after which a listener looks whether it should stop
PRUNE_EVERY = 3600.0
STUMBLE = 5.0  # seconds of rest after a background loop failed
STOP_WITHIN = 8.0  # seconds for all loops; orchestrators are told 10

FAILURES = Counter("clozit_loop_failures_total", "Unexpected failures of a worker's loops", ["loop"])

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Something to run again and again: `every` so many seconds, and when `on`, a channel, is announced."""

    name: str
    every: float
    run: Callable[[], object]
    on: str | None = None


@dataclass(frozen=True)
class _Loop:
    """`look` does what there is to do, and returns the seconds to rest unless `signal` comes."""

    name: str
    look: Callable[[], float]
    signal: Signal
    stumble: float = STUMBLE


class Worker:
    """Runs until told to stop: `run` for a process, `start` and `stop` within one."""

    def __init__(
        self,
        config: Common,
        database: Database,
        handlers: Handlers,
        *,
        jobs: Sequence[Job] = (),
        publishes: bool = True,
    ) -> None:
        self._config = config
        self._database = database
        self._stop = threading.Event()
        self._paused = False
        self._runner = Runner(database, handlers)
        self._consumer = Consumer(
            config.broker_url,
            config.service,
            database,
            self._runner,
            is_paused=lambda: self._paused,
            declare=config.broker_declare,
        )
        self._publisher = publisher.connect(config.broker_url, declare=config.broker_declare) if publishes else None
        self._relay = Relay(database, self._publisher) if self._publisher else None
        self._channels = [inbox.CHANNEL, *(job.on for job in jobs if job.on)]
        self._loops = [
            _Loop("retries", self._retry_due, database.signal(inbox.CHANNEL)),
            *(self._loop(job) for job in [Job("prune", PRUNE_EVERY, self._prune), *jobs]),
        ]
        if self._relay:
            self._channels.append(outbox.CHANNEL)
            self._loops.append(_Loop("relay", self._drain, database.signal(outbox.CHANNEL), stumble=1))
        if database.is_postgresql:
            self._loops.append(_Loop("listen", self._listen, Signal()))
        from_zero(FAILURES, [loop.name for loop in self._loops])
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish what is in hand and return."""
        configure_logging(self._config.service, self._config.log_level)
        tracing.configure(self._config.service)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._request_stop())
        health = self._serve_health() if self._config.metrics_port else None
        self._start_loops()
        log.info("worker ready", queue=self._config.service)
        try:
            self._consumer.run()
        finally:
            self.stop()
            if health:
                health.shutdown()
            log.info("worker stopped")

    def start(self) -> None:
        self._start_loops()
        self._spawn("consumer", self._consumer.run)

    def stop(self) -> None:
        self._request_stop()
        deadline = time.monotonic() + STOP_WITHIN
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._publisher:
            self._publisher.close()

    def _request_stop(self) -> None:
        self._stop.set()
        self._consumer.stop()
        for loop in self._loops:
            loop.signal.set()

    def _start_loops(self) -> None:
        for loop in self._loops:
            self._spawn(loop.name, partial(self._repeat, loop))

    def _spawn(self, name: str, target: Callable[[], object]) -> None:
        thread = threading.Thread(target=target, name=f"{self._config.service}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, loop: _Loop) -> None:
        """A failure is logged and counted; the loop goes on, since what it does is safe to repeat."""
        while not self._stop.is_set():
            try:
                rest = loop.look()
            except Exception as error:
                FAILURES.labels(loop.name).inc()
                if is_away(error):
                    log.error("database away", loop=loop.name, error=str(error))
                else:
                    log.exception("loop failed", loop=loop.name)
                self._stop.wait(loop.stumble)
            else:
                loop.signal.wait(rest)

    def _loop(self, job: Job) -> _Loop:
        def look() -> float:
            job.run()
            return job.every

        signal = self._database.signal(job.on) if job.on else Signal()
        return _Loop(job.name, look, signal, stumble=max(job.every, STUMBLE))

    def _retry_due(self) -> float:
        with self._database.read() as session:
            self._paused, due_at = inbox.outlook(session)
        if self._paused or due_at is None:
            return RETRY_POLL
        until_due = (due_at - utcnow()).total_seconds()
        if until_due > 0:
            return min(RETRY_POLL, until_due)
        return 0 if self._runner.retry_batch() else ELSEWHERE  # a batch a look: a pause or a stop need not wait

    def _prune(self) -> None:
        now = utcnow()
        with self._database.begin() as session:
            inbox.prune(session, now - inbox.KEPT)
        if self._relay:
            self._relay.prune(now)

    def _drain(self) -> float:
        assert self._relay is not None  # noqa: S101 - for the type checker; only a loop with a relay
        self._relay.drain()
        return RELAY_POLL

    def _listen(self) -> float:
        """Wake this process's loops for what other processes announce. Ends with the connection, or when stopping."""
        url = self._database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            for channel in self._channels:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                self._database.signal(channel).set()  # what came while nobody listened
            while not self._stop.is_set():
                for notify in connection.notifies(timeout=LISTEN_CHECK, stop_after=1):
                    self._database.signal(notify.channel).set()
        return 0

    def _check(self) -> None:
        self._database.ping()
        if not self._consumer.consuming.is_set():
            raise RuntimeError("not consuming")

    def _serve_health(self) -> WSGIServer:
        collectors = [InboxBacklog(self._database), *([OutboxBacklog(self._database)] if self._relay else [])]
        app = create_health_app({"worker": self._check}, collectors)
        server = make_server("0.0.0.0", self._config.metrics_port, app, handler_class=_Quiet)
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return server


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Probes and scrapes come every few seconds, and their lines would be no JSON."""
