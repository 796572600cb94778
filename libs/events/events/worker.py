"""A worker: one service's consumer, relay, retries and periodic jobs, each on a thread of its own."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from wsgiref.simple_server import WSGIServer, make_server

import psycopg
from prometheus_client import Counter

from events import inbox, publisher
from events.config import Common
from events.consumer import Consumer
from events.database import Database, is_away, utcnow
from events.handlers import Handlers
from events.relay import Relay
from events.runner import Runner
from events.telemetry import configure_logging, get_logger
from events.web import create_health_app

RETRY_POLL = 2.0  # seconds between looks for due retries and for the pause switch
RELAY_POLL = 5.0  # seconds between looks into the outbox without a signal
LISTEN_CHECK = 2.0  # seconds after which a listener looks whether it should stop
PRUNE_EVERY = 3600.0
STUMBLE = 5.0  # seconds of rest after a background loop failed
STOP_WITHIN = 8.0  # seconds for all loops; orchestrators are told 10

FAILURES = Counter("clozit_loop_failures_total", "Unexpected failures of a worker's loops", ["loop"])

log = get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Something to run again and again: `every` so many seconds."""

    name: str
    every: float
    run: Callable[[], object]


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
        self._jobs = [
            Job("retries", RETRY_POLL, self._retry_due),
            Job("prune", PRUNE_EVERY, self._prune),
            *jobs,
        ]
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; then finish what is in hand and return."""
        configure_logging(self._config.service, self._config.log_level)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._request_stop())
        health = _serve_health(self._config.metrics_port, self._check) if self._config.metrics_port else None
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
        self._database.outbox_filled.set()

    def _start_loops(self) -> None:
        for job in self._jobs:
            self._spawn(job.name, lambda job=job: self._repeat(job))  # type: ignore[misc]
        if self._relay is not None:
            self._spawn("relay", self._relay_loop)
            if self._database.is_postgresql:
                self._spawn("listen", self._listen_loop)

    def _spawn(self, name: str, target: Callable[[], object]) -> None:
        thread = threading.Thread(target=target, name=f"{self._config.service}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, job: Job) -> None:
        while not self._stop.is_set():
            rest = job.every if self._attempt(job.name, job.run) else max(job.every, STUMBLE)
            self._stop.wait(rest)

    def _attempt(self, name: str, run: Callable[[], object]) -> bool:
        """Run once. A failure is logged and counted; the loop goes on, since what it does is safe to repeat."""
        try:
            run()
        except Exception as error:
            FAILURES.labels(name).inc()
            if is_away(error):
                log.error("database away", loop=name, error=str(error))
            else:
                log.exception("loop failed", loop=name)
            return False
        return True

    def _retry_due(self) -> None:
        with self._database.read() as session:
            self._paused = inbox.is_paused(session)
        if not self._paused:
            self._runner.retry_due()

    def _prune(self) -> None:
        now = utcnow()
        with self._database.begin() as session:
            inbox.prune(session, now - inbox.KEPT)
        if self._relay:
            self._relay.prune(now)

    def _relay_loop(self) -> None:
        assert self._relay is not None  # noqa: S101 - for the type checker; only spawned with a relay
        while not self._stop.is_set():
            if self._attempt("relay", self._relay.drain):
                self._database.outbox_filled.wait(RELAY_POLL)
            else:
                self._stop.wait(1)

    def _listen_loop(self) -> None:
        while not self._stop.is_set():
            if not self._attempt("listen", self._listen):
                self._stop.wait(STUMBLE)

    def _listen(self) -> None:
        """Wake the relay for rows that other processes put into the outbox."""
        url = self._database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("LISTEN outbox")
            self._database.outbox_filled.set()  # what came while nobody listened
            while not self._stop.is_set():
                for _ in connection.notifies(timeout=LISTEN_CHECK, stop_after=1):
                    self._database.outbox_filled.set()

    def _check(self) -> None:
        self._database.ping()
        if not self._consumer.consuming.is_set():
            raise RuntimeError("not consuming")


def _serve_health(port: int, check: Callable[[], None]) -> WSGIServer:
    server = make_server("0.0.0.0", port, create_health_app({"worker": check}))
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
