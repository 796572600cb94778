"""The containers' health check."""

from collections.abc import Callable, Iterator

import pytest
from events.testing.ports import free_port
from events.web import probe
from events.web.health import Check, Health, HealthServer

Serve = Callable[[Check], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers = []

    def start(check: Check) -> int:
        servers.append(HealthServer(0, Health({"database": check})))
        return servers[-1].server_port

    yield start
    for server in servers:
        server.close()


def test_ready_process_has_no_unready_reason(serve: Serve) -> None:
    assert probe.unready_reason(serve(lambda: None)) is None


def test_unready_process_names_the_failed_check(serve: Serve) -> None:
    def away() -> None:
        raise ConnectionError("no database")

    assert "database" in (probe.unready_reason(serve(away)) or "")


def test_missing_process_is_reported_with_its_port() -> None:
    port = free_port()

    assert str(port) in (probe.unready_reason(port) or "")


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        ({"HEALTH_PORT": "9100", "PORT": "8000"}, 9100),
        ({"HEALTH_PORT": "0", "PORT": "8000"}, 8000),
        ({"HEALTH_PORT": "", "PORT": "8000"}, 8000),
        ({"PORT": "8000"}, 8000),
    ],
)
def test_probe_asks_the_port_that_answers(environment: dict[str, str], port: int) -> None:
    """HEALTH_PORT=0 switches the separate port off: then a web process answers on PORT only."""
    assert probe.readiness_port(environment) == port
