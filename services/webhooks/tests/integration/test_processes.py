"""Several web processes on one port, as `web --workers 2` starts them."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from events.testing import http
from events.testing.ports import free_port
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until
from events.web.server import THREADS

REJECTED_REQUESTS = 60  # enough that each process gets some of them
COUNTED = re.compile(rb'^clozit_webhook_requests_total\{outcome="bad-signature"\} (\d+)', re.MULTILINE)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of two processes. Their broker does not exist: no broker is needed to reject a request."""
    port = free_port()
    settings = {
        "BROKER_URL": f"amqp://user:password@127.0.0.1:{free_port()}/%2F",
        "STRIPE_WEBHOOK_SECRETS": "whsec_of_this_test",
        "LIVEMODE": "false",
        "PORT": str(port),
    }
    command = [sys.executable, "-m", "webhooks", "web", "--workers", "2", "--pin"]
    environment = {**os.environ, **settings, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    with watch("process", str(process.pid), str(tmp_path)):
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(base), 30, "the web process")
        yield base
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    assert not list(tmp_path.glob("metrics-*")), "the processes' metrics files were not removed"


@pytest.mark.parametrize(
    "headers", [b"", b"Stripe-Signature: t=1,v1=00\r\n", b"Stripe-Signature: %b\r\n" % (b"v1=0," * 30_000)]
)
def test_unsigned_post_is_answered_before_its_body(url: str, headers: bytes) -> None:
    """More half-sent posts than threads: none of them may keep a thread."""
    with ExitStack() as open_posts:
        posts = [open_posts.enter_context(half_sent_post(url, headers)) for _ in range(2 * 2 * THREADS)]
        assert {post.recv(12) for post in posts} == {b"HTTP/1.1 400"}
        assert answers(url)


def half_sent_post(base: str, headers: bytes) -> socket.socket:
    """Post to the ingest, send ten of a thousand bytes, and return the connection."""
    connection = socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])), timeout=10)
    connection.sendall(
        b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
        + headers
        + b"\r\n{123456789"
    )
    return connection


def answers(base: str) -> bool:
    try:
        return http.get(f"{base}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def scrape(base: str) -> httpx.Response:
    return http.get(f"{base}/metrics").raise_for_status()


def process_ids(folder: Path) -> set[int]:
    """Return the ids of all processes so far, from the names of their metrics files."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("metrics-*/counter_*.db")}


def threads(pid: int) -> list[int]:
    return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]


def test_pinned_process_keeps_its_threads_on_one_core(url: str, tmp_path: Path) -> None:
    wait_until(lambda: len(process_ids(tmp_path)) == 2, 30, "both processes")
    wait_until(lambda: all(len(threads(pid)) > 2 for pid in process_ids(tmp_path)), 30, "their threads")
    cores = [{frozenset(os.sched_getaffinity(thread)) for thread in threads(pid)} for pid in process_ids(tmp_path)]
    assert [len(core) for process_cores in cores for core in process_cores] == [1, 1]
    if len(os.sched_getaffinity(0)) > 1:
        assert cores[0] != cores[1]


def test_metrics_of_any_process_include_all_and_dead_ones(url: str, tmp_path: Path) -> None:
    for _ in range(REJECTED_REQUESTS):
        rejected = http.post(f"{url}/webhooks/stripe", content=b"{}", headers={"Content-Type": "application/json"})
        assert rejected.status_code == 400
    assert len(list(tmp_path.glob("metrics-*/counter_*.db"))) == 2
    for _ in range(20):  # either of the two may answer
        assert COUNTED.findall(scrape(url).content) == [str(REJECTED_REQUESTS).encode()]
    os.kill(process_ids(tmp_path).pop(), signal.SIGKILL)
    wait_until(lambda: len(list(tmp_path.glob("metrics-*/counter_*.db"))) == 3, 30, "the process that replaces it")
    wait_until(lambda: answers(url), 30, "an answer")
    assert COUNTED.findall(scrape(url).content) == [str(REJECTED_REQUESTS).encode()]
    assert len(list(tmp_path.glob("metrics-*/gauge_livesum_*.db"))) == 2
