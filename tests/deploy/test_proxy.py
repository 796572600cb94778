"""The proxy's configuration, run by the nginx of this machine in front of a stub that answers every service's requests.

Without nginx, these tests are skipped. `make test-compose` runs one of them through the composed system.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from events.testing.ports import free_port
from events.testing.waiting import wait_until

from .log_sizes import DOCKERS_BYTES_PER_LINE, OF_ADDRESSES_IN_CONTAINERS, PROXY_LINE_BYTES

PROXY = Path(__file__).parents[2] / "deploy" / "proxy"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
CLIENT, OTHER = "192.0.2.9", "192.0.2.10"
LINES_AT_ONCE = 600  # that a client can write into the log
BURST = 21  # checkouts that one client can start at once: the burst, and one


class Stub(BaseHTTPRequestHandler):
    """Answers each request with the headers that it has got."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(204 if self.command == "OPTIONS" else int(self.headers.get("X-Answer", 200)))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_OPTIONS = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_args: object) -> None:
        """Log nothing: a line per request would hide the test's output."""


@pytest.fixture
def stub() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def shop(tmp_path: Path, stub: int) -> Iterator[httpx.Client]:
    """Run the proxy in front of the stub and return a client of its public port. orders is away."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    public = free_port()
    text = (PROXY / "nginx.conf").read_text()
    for service in SERVICES:
        port = free_port() if service == "orders" else stub
        text = text.replace(f"http://{service}:8000", f"http://127.0.0.1:{port}")
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{public};")
    text = re.sub(r"listen (80\d\d);", lambda _: f"listen 127.0.0.1:{free_port()};", text)
    text = text.replace("_timeout 10s;", "_timeout 1s;")  # the deadlines of slow clients
    text = text.replace("/etc/nginx/", f"{PROXY}/").replace("/run/nginx.pid", f"{tmp_path}/nginx.pid")
    text = text.replace("/dev/stdout", f"{tmp_path}/access.log").replace("/dev/stderr", f"{tmp_path}/error.log")
    folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    paths = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in folders)
    (tmp_path / "nginx.conf").write_text(text.replace("http {", f"http {{ {paths}", 1))
    command = [nginx, "-e", f"{tmp_path}/error.log", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"]
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    with httpx.Client(base_url=f"http://127.0.0.1:{public}") as client:
        try:
            wait_until(lambda: _answers(client), what="the proxy")
            yield client
        finally:
            process.terminate()
            process.wait(10)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.ConnectError:
        return False


def start(shop: httpx.Client, address: str) -> httpx.Response:
    return shop.post("/checkout/sessions", json={}, headers={"X-Forwarded-For": address, "Origin": "https://a.example"})


def test_each_forwarded_address_has_its_own_limit(shop: httpx.Client) -> None:
    assert {start(shop, CLIENT).status_code for _ in range(BURST)} == {200}
    assert start(shop, CLIENT).status_code == 429
    assert start(shop, f"203.0.113.5, {CLIENT}").status_code == 429  # the client has invented the first address
    assert start(shop, OTHER).status_code == 200


def test_ipv6_addresses_of_one_network_share_a_limit(shop: httpx.Client) -> None:
    assert {start(shop, f"2001:db8:1:2::{number:x}").status_code for number in range(BURST)} == {200}
    assert start(shop, "2001:db8:1:2:ffff::1").status_code == 429
    assert start(shop, "2001:db8:1:3::1").status_code == 200


def test_refusal_is_a_problem_that_pages_can_read(shop: httpx.Client) -> None:
    refused = [start(shop, CLIENT) for _ in range(BURST + 1)][-1]
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    assert refused.headers["Retry-After"] == "5"
    body = refused.json()
    assert (body["type"], body["status"]) == ("urn:clozit:problem:too-many-requests", 429)
    assert body["request_id"] == refused.headers["X-Request-ID"]


def test_preflights_are_not_limited(shop: httpx.Client) -> None:
    preflights = [shop.options("/checkout/sessions", headers={"X-Forwarded-For": CLIENT}) for _ in range(2 * BURST)]
    assert {answer.status_code for answer in preflights} == {204}
    assert start(shop, CLIENT).status_code == 200


def test_services_get_only_the_clients_own_address(shop: httpx.Client) -> None:
    assert start(shop, f"203.0.113.5, {CLIENT}").json()["X-Forwarded-For"] == CLIENT


def test_service_that_is_away_is_a_problem(shop: httpx.Client) -> None:
    answer = shop.get("/orders/by-session/cs_1")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:clozit:problem:service-unavailable")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def logged(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]


def wait_for_marker(shop: httpx.Client, tmp_path: Path) -> None:
    """Send a request of another client and wait for its line: all lines before it are written then."""
    shop.get("/products", headers={"X-Forwarded-For": "198.51.100.1"})
    wait_until(lambda: any(line["client"] == "198.51.100.1" for line in logged(tmp_path)), 30, "the last line")


def test_access_log_names_the_client_and_error_log_does_not(shop: httpx.Client, tmp_path: Path) -> None:
    for _ in range(BURST + 5):
        start(shop, f"203.0.113.5, {CLIENT}")
    wait_for_marker(shop, tmp_path)

    accepted = [line["client"] for line in logged(tmp_path) if line["status"] == 200 and "checkout" in line["path"]]
    assert accepted == [CLIENT] * BURST
    assert CLIENT not in (tmp_path / "error.log").read_text()


@pytest.mark.parametrize("path", ["/wp-login.php", "/products"])
def test_flood_of_one_client_leaves_its_first_lines(shop: httpx.Client, tmp_path: Path, path: str) -> None:
    for _ in range(LINES_AT_ONCE + 200):
        shop.get(path, headers={"X-Forwarded-For": CLIENT})
    wait_for_marker(shop, tmp_path)

    lines = [line for line in logged(tmp_path) if line["client"] == CLIENT]
    assert LINES_AT_ONCE <= len(lines) <= LINES_AT_ONCE + 100, "the flood lasted at most a minute or so"


def test_flood_of_refused_checkouts_leaves_few_lines(shop: httpx.Client, tmp_path: Path) -> None:
    statuses = [start(shop, CLIENT).status_code for _ in range(400)]
    wait_for_marker(shop, tmp_path)

    refused = [line for line in logged(tmp_path) if line["status"] == 429]
    assert 0 < len(refused) < statuses.count(429) / 8


def test_rejected_webhook_is_logged_by_the_service_alone(shop: httpx.Client, tmp_path: Path) -> None:
    for status in ("400", "200"):
        assert shop.post("/webhooks/stripe", headers={"X-Answer": status}).status_code == int(status)
    wait_for_marker(shop, tmp_path)

    assert [line["status"] for line in logged(tmp_path) if line["path"] == "/webhooks/stripe"] == [200]


def test_line_is_no_longer_than_the_stated_size(shop: httpx.Client, tmp_path: Path) -> None:
    """docs/security.md says how long the proxy's log reaches back. That needs the size of a line."""
    shop.post("/webhooks/stripe", headers={"X-Forwarded-For": "2001:db8:1111:2222:3333:4444:5555:6666"})
    wait_for_marker(shop, tmp_path)

    [line] = [line for line in (tmp_path / "access.log").read_text().splitlines() if "/webhooks/stripe" in line]
    assert len(line) + DOCKERS_BYTES_PER_LINE + OF_ADDRESSES_IN_CONTAINERS <= PROXY_LINE_BYTES


@pytest.mark.parametrize("body", [b"{", b""])
def test_half_sent_body_never_reaches_a_service(shop: httpx.Client, tmp_path: Path, body: bytes) -> None:
    head = b"POST /webhooks/stripe HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shop.base_url.port or 0), timeout=10) as slow:
        slow.sendall(head + body)
        assert slow.recv(100) == b"", "the proxy ends a connection that sends nothing"
    log = tmp_path / "access.log"
    wait_until(lambda: '"path":"/webhooks/stripe"' in log.read_text(), what="the log line")
    [line] = [json.loads(line) for line in log.read_text().splitlines() if "/webhooks/stripe" in line]
    assert (line["status"], line["upstream"]) == (408, "")
