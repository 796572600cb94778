"""Health while everything else is stuck: silent clients, hanging checks, a web process without a free thread."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from events.testing import http
from events.testing.ports import free_port
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until
from events.web import health
from events.web.health import DEADLINE_S, Check, Health, HealthServer
from events.web.server import THREADS
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Serve = Callable[..., str]
StartWeb = Callable[..., tuple[str, str]]
SECRET = "secret-of-this-test"


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(checks: dict[str, Check] | None = None, collectors: Iterable[Collector] = ()) -> str:
        servers.append(HealthServer(0, Health(checks or {}, list(collectors))))
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def hang() -> Iterator[Callable[[], None]]:
    """A call that hangs until the end of the test."""
    release = threading.Event()

    def wait() -> None:
        release.wait(60)

    yield wait
    release.set()


def connect(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10)


def ready_metrics(url: str) -> set[str]:
    return {line for line in http.get(f"{url}/metrics").text.splitlines() if line.startswith("clozit_ready{")}


def test_metrics_have_the_result_of_each_check(serve: Serve, hang: Callable[[], None]) -> None:
    def fail() -> None:
        raise RuntimeError("away")

    url = serve({"database": lambda: None, "broker": fail, "worker": hang})
    assert ready_metrics(url) == {
        'clozit_ready{check="database"} 1.0',
        'clozit_ready{check="broker"} 0.0',
        'clozit_ready{check="worker"} 0.0',
    }


def test_silent_connections_do_not_block_liveness(serve: Serve) -> None:
    url = serve()
    with ExitStack() as silent:
        for _ in range(50):
            silent.enter_context(connect(url))
        half_sent = silent.enter_context(connect(url))
        half_sent.sendall(b"GET /heal")
        assert http.get(f"{url}/healthz", timeout=10).json() == {"status": "alive"}


def test_slow_senders_do_not_use_up_file_descriptors(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a byte now and then never meets the time limit of its connection."""
    monkeypatch.setattr(health._Handler, "timeout", None)
    url = serve()
    with ExitStack() as slow:
        senders = [slow.enter_context(connect(url)) for _ in range(2 * health.MAX_CONNECTIONS)]
        assert http.get(f"{url}/healthz", timeout=10).json() == {"status": "alive"}
        for sender in senders[: health.MAX_CONNECTIONS]:
            assert sender.recv(1) == b"", "the oldest connections end"


def test_hanging_check_is_unready_within_its_deadline(serve: Serve, hang: Check) -> None:
    began = []

    def hanging() -> None:
        began.append(time.monotonic())
        hang()

    url = serve({"database": hanging, "broker": lambda: None})
    with ThreadPoolExecutor(8) as probes:
        waiting = [probes.submit(httpx.get, f"{url}/readyz", timeout=DEADLINE_S + 1) for _ in range(8)]
        assert http.get(f"{url}/healthz", timeout=1).status_code == 200
        answers = [probe.result() for probe in waiting]
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["checks"] == {"database": "no answer within 2 s", "broker": "ok"}
    assert len(began) == 1, "probes of a check that hangs must not pile up"
    asked_at = time.monotonic()
    assert http.get(f"{url}/readyz").status_code == 503
    assert time.monotonic() - asked_at < DEADLINE_S, "the deadline of the running check has passed already"


def test_check_that_ends_is_asked_again(serve: Serve) -> None:
    errors = iter([ConnectionError("refused"), None])

    def check() -> None:
        if error := next(errors, None):
            raise error

    url = serve({"database": check})
    assert http.get(f"{url}/readyz").json()["checks"] == {"database": "ConnectionError: refused"}
    wait_until(lambda: http.get(f"{url}/readyz").status_code == 200, 10, "the next check")


def test_hanging_backlog_leaves_the_metrics_of_the_process(serve: Serve, hang: Check) -> None:
    class Hanging(Collector):
        def describe(self) -> Iterable[GaugeMetricFamily]:
            return []

        def collect(self) -> Iterable[GaugeMetricFamily]:
            hang()
            return []

    answer = http.get(f"{serve(collectors=[Hanging()])}/metrics", timeout=DEADLINE_S + 1)
    assert answer.status_code == 200
    assert "python_gc_objects_collected_total" in answer.text


def test_unknown_path_is_not_found(serve: Serve) -> None:
    assert http.get(f"{serve()}/ops/inbox").status_code == 404


@pytest.fixture
def start_web(tmp_path: Path) -> Iterator[StartWeb]:
    """Start a web process; return its URL and that of its health port."""
    with ExitStack() as stack:

        def start(workers: int = 1) -> tuple[str, str]:
            ports = (free_port(), free_port())
            folder = Path(__file__).parent
            environment = os.environ | {
                "BROKER_URL": "memory://",
                "SERVED_SECRET": SECRET,
                "PYTHONPATH": str(folder),
                "TMPDIR": str(tmp_path),
            }
            command = [sys.executable, str(folder / "served_app.py"), *map(str, [*ports, workers])]
            process = subprocess.Popen(command, env=environment, start_new_session=True)
            stack.enter_context(watch("process", str(process.pid), str(tmp_path)))
            stack.callback(process.wait, 15)
            stack.callback(process.send_signal, signal.SIGTERM)
            urls = (f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
            for url in urls:
                wait_until(lambda url=url: is_alive(url), 30, url)  # type: ignore[misc]
            return urls

        yield start


def is_alive(url: str) -> bool:
    try:
        return http.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_web_process_without_a_free_thread_is_alive(start_web: StartWeb) -> None:
    url, health_url = start_web()
    with ExitStack() as half_sent:
        for _ in range(2 * THREADS):
            post = half_sent.enter_context(connect(url))
            post.sendall(
                b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1"
            )
        wait_until(lambda: not is_alive(url), 10, "all threads of the web server are busy")
        for path in ("/healthz", "/readyz", "/metrics"):
            assert http.get(f"{health_url}{path}", timeout=3).status_code == 200
    wait_until(lambda: is_alive(url), 10, "the web server has its threads again")


def test_environ_of_a_request_contains_no_secret(start_web: StartWeb) -> None:
    url, _health_url = start_web()
    environ = http.get(f"{url}/environ").json()
    assert "PYTHONPATH" in environ
    assert "SERVED_SECRET" not in environ
    assert SECRET not in json.dumps(environ)


def test_processes_share_the_health_port(start_web: StartWeb) -> None:
    url, health_url = start_web(workers=2)
    wait_until(lambda: len(served_by(url)) == 2, 30, "both processes")
    for _ in range(20):  # either of the two answers
        assert http.get(f"{health_url}/healthz").status_code == 200
    first, _second = served_by(url)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: first not in served_by(url) and len(served_by(url)) == 2, 30, "the next process")
    assert is_alive(health_url)


def served_by(url: str) -> set[int]:
    """Return the ids of the processes that answer, each over a new connection."""
    return {http.get(f"{url}/process").json()["pid"] for _ in range(16)}


WORKER = """
import sys
from events.config import Common
from events.database.engine import Database
from events.messaging.handlers import Handlers
from events.messaging.worker import Worker
config = Common(service="orders", port=0, broker_url=sys.argv[1], health_port=int(sys.argv[2]))
Worker(config, Database(sys.argv[3]), Handlers()).run()
"""


def test_worker_with_a_hanging_database_is_alive_but_unready(broker_url: str) -> None:
    """A database that accepts connections and never answers, and probes by silent clients."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        database_url = f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/orders"
        command = [sys.executable, "-c", WORKER, broker_url, str(port), database_url]
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(process.kill)
        wait_until(lambda: is_alive(url), 30, "the worker")
        for _ in range(10):
            stack.enter_context(connect(url))
        for _ in range(3):
            answer = http.get(f"{url}/readyz", timeout=DEADLINE_S + 1)
            assert answer.status_code == 503
            assert answer.json()["checks"].keys() == {"worker", "publisher"}
            assert http.get(f"{url}/metrics", timeout=DEADLINE_S + 1).status_code == 200
            assert http.get(f"{url}/healthz", timeout=1).status_code == 200
