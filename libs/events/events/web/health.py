"""Health and metrics: /healthz, /readyz and /metrics, of a web process and of a worker.

A process serves them on HEALTH_PORT, from threads that do nothing else: a web server's threads may all wait for Stripe
or for slow senders, and a consumer for its database. /healthz touches neither a lock nor the database. The checks
and the backlog metrics may hang, so each runs on a thread of its own, and has a deadline. A web process has the same
routes on PORT, too.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Generic, NamedTuple, TypeVar

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from events.observability import metrics
from events.observability.logging import get_logger
from events.web.parameters import ignores_query

PATHS = ("/healthz", "/readyz", "/metrics")
DEADLINE_S = 2.0  # for a check, and for the backlog metrics; probes wait three seconds
CHECK_METRIC = "clozit_ready"
PASSED = "ok"  # the state of a check in /readyz
MAX_AGE_S = 1.0  # a younger result is used again, so that no caller can flood the database by probing
SEND_TIMEOUT_S = 5.0  # a connection is closed when its client neither sends nor reads for so long
MAX_CONNECTIONS = 100  # at once; slow clients must not use up the file descriptors that the process works with

Check = Callable[[], None]
ResultT = TypeVar("ResultT")

log = get_logger(__name__)


class Answer(NamedTuple):
    """The status, content type and body of an answer to one of `PATHS`."""

    status: int
    content_type: str
    body: bytes


class Health:
    """The answers of one process to /healthz, /readyz and /metrics.

    `checks` raise while the process cannot work. `collectors` are queried at each scrape, at most once a second. The
    metrics have the result of each check, too: readiness takes traffic away, and with it the errors that alerts count.
    """

    def __init__(self, checks: Mapping[str, Check], collectors: Sequence[Collector] = ()) -> None:
        self._checks = {name: _Recent(check) for name, check in checks.items()}
        own = CollectorRegistry()  # the embedded mode has several services in one process
        for collector in collectors:
            own.register(collector)
        self._backlog = _Recent(lambda: generate_latest(own))

    def answer(self, path: str) -> Answer | None:
        """Return the answer to a GET request for a path; None for an unknown path."""
        if path == "/healthz":
            return _json(200, {"status": "alive"})
        if path == "/readyz":
            return self._readiness()
        if path == "/metrics":
            self._refresh_checks()  # they run while the backlog is read
            return Answer(200, CONTENT_TYPE_LATEST, metrics.latest() + self._backlog_metrics() + self._check_metrics())
        return None

    def _readiness(self) -> Answer:
        self._refresh_checks()
        states = {name: _state(check) for name, check in self._checks.items()}
        is_ready = all(state == PASSED for state in states.values())
        return _json(200 if is_ready else 503, {"status": "ready" if is_ready else "not ready", "checks": states})

    def _refresh_checks(self) -> None:
        """Start all checks that are due, before the first one is waited for."""
        for check in self._checks.values():
            check.refresh()

    def _check_metrics(self) -> bytes:
        family = GaugeMetricFamily(CHECK_METRIC, "1 if this check of /readyz passes", labels=["check"])
        for name, check in self._checks.items():
            family.add_metric([name], _state(check) == PASSED)
        return generate_latest(_Families([family]))

    def _backlog_metrics(self) -> bytes:
        try:
            return self._backlog.result()
        except TimeoutError:  # the metrics of the process itself are worth a scrape
            log.warning("reading the backlog metrics took too long: this scrape has none", deadline_s=DEADLINE_S)
            return b""


class _Families(CollectorRegistry):
    """A registry of values that are known already."""

    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the values."""
        return self._families


class _Recent(Generic[ResultT]):
    """The result of a call that may hang: one call at a time, on a thread of its own, and at most one a second."""

    def __init__(self, call: Callable[[], ResultT]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._latest: Future[ResultT] | None = None
        self._began_at = 0.0

    def refresh(self) -> "Future[ResultT]":
        """Return the latest call's future. If it has ended and began over `MAX_AGE_S` ago, start a new call first."""
        with self._lock:
            age = time.monotonic() - self._began_at
            if self._latest is None or (self._latest.done() and age > MAX_AGE_S):
                self._latest, self._began_at = Future(), time.monotonic()
                threading.Thread(target=self._run, args=[self._latest], name="health-check", daemon=True).start()
            return self._latest

    def result(self) -> ResultT:
        """Return the result. Raises what the call raised, or `TimeoutError` when the call exceeds its deadline."""
        latest = self.refresh()
        return latest.result(max(0.0, self._began_at + DEADLINE_S - time.monotonic()))

    def _run(self, future: "Future[ResultT]") -> None:
        try:
            future.set_result(self._call())
        except BaseException as error:  # noqa: BLE001 - the caller of `result` gets it
            future.set_exception(error)


def _state(check: _Recent[None]) -> str:
    try:
        check.result()
    except TimeoutError as error:
        return str(error) or f"no answer within {DEADLINE_S:g} s"
    except Exception as error:  # noqa: BLE001 - this route reports errors of every class
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return PASSED


def _json(status: int, document: Mapping[str, Any]) -> Answer:
    return Answer(status, "application/json", json.dumps(document).encode())


def health_blueprint(health: Health) -> Blueprint:
    """Return the blueprint with the routes in `PATHS`, for the application of a web process."""
    blueprint = Blueprint("health", __name__)

    def add(path: str) -> None:
        @ignores_query  # probes and load balancers append their own
        def respond() -> Response:
            answer = health.answer(path)
            assert answer is not None  # noqa: S101 - for the type checker; each of PATHS has an answer
            return Response(answer.body, answer.status, content_type=answer.content_type)

        blueprint.add_url_rule(path, path.removeprefix("/"), respond)

    for path in PATHS:
        add(path)
    return blueprint


class HealthServer(ThreadingHTTPServer):
    """A server of /healthz, /readyz and /metrics on a separate port, from its creation until `close`.

    Each connection has a thread. Beyond `MAX_CONNECTIONS` a new connection ends the oldest one, so that a probe always
    gets in. With `shared`, other processes can listen on the same port.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, health: Health, *, shared: bool = False) -> None:
        self.health = health
        self.allow_reuse_port = shared
        self._connections: dict[Any, None] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(("0.0.0.0", port), _Handler)
        threading.Thread(target=self.serve_forever, name="health", daemon=True).start()

    def server_bind(self) -> None:
        """Bind without `HTTPServer`'s look-up of the host's name, which may hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection. If there are too many, end the oldest connection first."""
        with self._lock:
            self._connections[request] = None
            oldest = next(iter(self._connections)) if len(self._connections) > MAX_CONNECTIONS else None
            self._connections.pop(oldest, None)
        if oldest is not None:
            with suppress(OSError):  # it may have ended itself meanwhile
                oldest.shutdown(socket.SHUT_RDWR)  # its thread wakes and closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the parent's parameters
        """Log the error as JSON, where the parent would print it. A connection's errors (`OSError`) are not logged."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("answering a request for health or metrics failed", exc_info=error)

    def close(self) -> None:
        """Stop serving and free the port."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    timeout = SEND_TIMEOUT_S

    def do_GET(self) -> None:
        answer = self.server.health.answer(self.path.partition("?")[0]) or _json(404, {"status": "not found"})
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's parameter name
        """Log nothing: probes and scrapes come every few seconds, and these lines would not be JSON."""
