"""Which provider the test servers come from."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from events.testing.servers import Unavailable, choice, private_cluster, private_rabbitmq


class Provider:
    """A provider whose server is named after it, or that has none."""

    def __init__(self, source: str, *, has: bool = True, lacks: str | None = None) -> None:
        self.SOURCE, self._has, self._lacks = source, has, lacks

    def missing(self, name: str) -> str | None:
        return self._lacks

    @contextmanager
    def rabbitmq(self) -> Iterator[SimpleNamespace]:
        if not self._has:
            raise Unavailable(f"none from {self.SOURCE}")
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
        ("auto", Provider("docker", lacks="no image"), Provider("local"), "local"),
        ("auto", Provider("docker", lacks="no image"), Provider("local", has=False), "docker"),
        ("auto", Provider("docker", has=False), Provider("local"), "local"),
        ("docker", Provider("docker", lacks="no image"), Provider("local"), "docker"),
        ("local", Provider("docker"), Provider("local"), "local"),
    ],
)
def test_docker_comes_first_unless_it_lacks_the_image_or_the_choice_is_made(
    monkeypatch: pytest.MonkeyPatch, wanted: str, containers: Provider, local: Provider, source: str
) -> None:
    assert chosen(monkeypatch, wanted, containers, local) == source


def test_reason_why_docker_was_passed_over_is_said_once(monkeypatch: pytest.MonkeyPatch, used: list[str]) -> None:
    for _ in range(2):
        chosen(monkeypatch, "auto", Provider("docker", lacks="no image"), Provider("local"))
    assert choice.used == ["rabbitmq from local; no image"]


@pytest.mark.parametrize("wanted", ["docker", "auto", "podman"])
def test_nothing_there_is_unavailable_with_every_reason(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    with pytest.raises(Unavailable, match=r"podman|none from docker"):
        chosen(monkeypatch, wanted, Provider("docker", has=False), Provider("local", has=False))


def test_cluster_is_not_made_of_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVERS", "docker")
    with pytest.raises(Unavailable, match="cluster"), private_cluster():
        pass
