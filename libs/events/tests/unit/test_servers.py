"""The choice between Docker and local programs for the test servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from events.testing.servers import choice
from events.testing.servers.choice import private_cluster, private_rabbitmq
from events.testing.servers.server import ServerStartError


class Provider:
    """A provider whose server is named after it, or that has no server."""

    def __init__(self, source: str, *, available: bool = True, missing: str | None = None) -> None:
        self.SOURCE, self._available, self._missing = source, available, missing

    def missing(self, name: str) -> str | None:
        return self._missing

    @contextmanager
    def rabbitmq(self) -> Iterator[SimpleNamespace]:
        if not self._available:
            raise ServerStartError(f"none from {self.SOURCE}")
        yield SimpleNamespace(url=self.SOURCE)


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(choice, "used", [])
    return choice.used


def chosen(monkeypatch: pytest.MonkeyPatch, wanted: str, containers: Provider, local: Provider) -> str:
    monkeypatch.setenv("TEST_SERVERS", wanted)
    monkeypatch.setattr(choice, "_containers", lambda: containers)
    monkeypatch.setattr(choice, "local", local)
    with private_rabbitmq() as server:
        return server.url


@pytest.mark.parametrize(
    ("wanted", "containers", "local", "source"),
    [
        ("auto", Provider("docker"), Provider("local"), "docker"),
        ("auto", Provider("docker", missing="no image"), Provider("local"), "local"),
        ("auto", Provider("docker", missing="no image"), Provider("local", available=False), "docker"),
        ("auto", Provider("docker", available=False), Provider("local"), "local"),
        ("docker", Provider("docker", missing="no image"), Provider("local"), "docker"),
        ("local", Provider("docker"), Provider("local"), "local"),
    ],
)
def test_docker_is_preferred_unless_its_image_is_missing(
    monkeypatch: pytest.MonkeyPatch, wanted: str, containers: Provider, local: Provider, source: str
) -> None:
    assert chosen(monkeypatch, wanted, containers, local) == source


def test_reason_for_not_using_docker_is_given_once(monkeypatch: pytest.MonkeyPatch, used: list[str]) -> None:
    for _ in range(2):
        chosen(monkeypatch, "auto", Provider("docker", missing="no image"), Provider("local"))
    assert choice.used == ["rabbitmq from local; no image"]


@pytest.mark.parametrize("wanted", ["docker", "auto", "podman"])
def test_missing_servers_are_unavailable_with_reasons(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    with pytest.raises(ServerStartError, match=r"podman|none from docker"):
        chosen(monkeypatch, wanted, Provider("docker", available=False), Provider("local", available=False))


def test_containers_provide_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVERS", "docker")
    with pytest.raises(ServerStartError, match="cluster"), private_cluster():
        pass
