"""The containers' health check."""

import threading
from collections.abc import Callable, Iterator
from wsgiref.simple_server import make_server

import pytest
from events.testing.ports import free_port
from events.web import probe
from events.web.health import create_health_app


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[], None]], int]]:
    servers = []

    def start(check: Callable[[], None]) -> int:
        server = make_server("127.0.0.1", 0, create_health_app({"database": check}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_ready_process_has_no_unready_reason(serve: Callable[[Callable[[], None]], int]) -> None:
    assert probe.unready_reason(serve(lambda: None)) is None


def test_unready_process_names_the_failed_check(serve: Callable[[Callable[[], None]], int]) -> None:
    def away() -> None:
        raise ConnectionError("no database")

    assert "database" in (probe.unready_reason(serve(away)) or "")


def test_missing_process_is_reported_with_its_port() -> None:
    port = free_port()

    assert str(port) in (probe.unready_reason(port) or "")
