"""The proxy takes the slow senders: the nginx of this machine, with the composed system's configuration."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from events.testing.ports import free_port
from events.testing.waiting import wait_until

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "proxy" / "nginx.conf"
HEAD = b"POST /webhooks/stripe HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def ingest() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def port(tmp_path: Path, ingest: socket.socket) -> Iterator[int]:
    """Run the proxy in front of the ingest, with deadlines of one second, and return its public port."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    public = free_port()
    text = CONFIGURATION.read_text()
    assert "client_body_timeout 10s;" in text
    text = text.replace("_timeout 10s;", "_timeout 1s;").replace("listen 8080;", f"listen 127.0.0.1:{public};")
    text = text.replace("http://webhooks:8000", f"http://127.0.0.1:{ingest.getsockname()[1]}")
    text = re.sub(r"listen (80\d\d);", lambda _: f"listen 127.0.0.1:{free_port()};", text)
    text = text.replace("/etc/nginx/", f"{CONFIGURATION.parent}/").replace("/run/nginx.pid", f"{tmp_path}/nginx.pid")
    text = text.replace("/dev/stdout", f"{tmp_path}/access.log").replace("/dev/stderr", f"{tmp_path}/error.log")
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in folders)
    (tmp_path / "nginx.conf").write_text(text.replace("http {", f"http {{ {paths}", 1))
    command = [nginx, "-e", f"{tmp_path}/error.log", "-p", str(tmp_path), "-c", f"{tmp_path}/nginx.conf"]
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    try:
        wait_until(lambda: is_listening(public), 30, "the proxy")
        yield public
    finally:
        process.terminate()
        process.wait(10)


def is_listening(port: int) -> bool:
    with connect(port):
        return True


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_half_sent_body_never_reaches_a_service(port: int, ingest: socket.socket) -> None:
    with connect(port) as slow:
        slow.sendall(HEAD + b"{")
        assert slow.recv(100) == b"", "the proxy ends a connection that sends nothing"
    ingest.settimeout(0)
    with pytest.raises(BlockingIOError):
        ingest.accept()


def test_whole_body_reaches_its_service(port: int, ingest: socket.socket) -> None:
    with connect(port) as client:
        client.sendall(HEAD + b"x" * 500)
        client.sendall(b"x" * 500)
        with ingest.accept()[0] as accepted, accepted.makefile("rb") as request:
            while request.readline() != b"\r\n":
                pass
            assert request.read(1000) == b"x" * 1000
            accepted.sendall(ANSWER)
        assert client.recv(12) == b"HTTP/1.1 200"
