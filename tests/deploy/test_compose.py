"""docker-compose.yml against our rules; what it does when it runs is shown by `make smoke-compose`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from events import topology

ROOT = Path(__file__).parents[2]
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: spec for name, spec in compose["services"].items() if spec["image"].startswith("clozit/")}


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    published = [port for spec in compose["services"].values() for port in spec.get("ports", [])]

    assert len(published) >= 10
    assert all(port.startswith("127.0.0.1:${") for port in published)


def test_our_containers_can_do_little(compose: dict[str, Any]) -> None:
    for name, spec in ours(compose).items():
        assert spec["read_only"] is True, name
        assert spec["cap_drop"] == ["ALL"], name
        assert spec["security_opt"] == ["no-new-privileges:true"], name


def test_every_container_is_limited_and_rotates_its_log(compose: dict[str, Any]) -> None:
    for name, spec in compose["services"].items():
        assert "memory" in spec["deploy"]["resources"]["limits"], name
        assert {"max-size", "max-file"} <= spec["logging"]["options"].keys(), name


def test_every_service_has_a_web_process_and_every_consumer_a_worker(compose: dict[str, Any]) -> None:
    for service in SERVICES:
        assert compose["services"][service]["command"] == ["web"]
    for service in topology.BINDINGS:
        assert compose["services"][f"{service}-worker"]["command"] == ["worker"]


def test_secrets_come_from_files_alone(compose: dict[str, Any]) -> None:
    for name, spec in ours(compose).items():
        for variable, value in spec.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in spec["secrets"], (name, variable)
    assert all(secret["file"].startswith(".secrets/") for secret in compose["secrets"].values())


def test_nothing_has_a_secret_that_it_does_not_use(compose: dict[str, Any]) -> None:
    for name, spec in ours(compose).items():
        used = {str(value).removeprefix("/run/secrets/") for value in spec.get("environment", {}).values()}
        assert set(spec.get("secrets", [])) <= used, name


def test_a_service_reads_its_own_queues_alone_and_configures_nothing() -> None:
    users = yaml.safe_load((ROOT / "deploy" / "rabbitmq" / "users.json").read_text())
    queues = [*topology.BINDINGS, *map(topology.dead_queue, topology.BINDINGS), topology.UNROUTED]

    for service in SERVICES:
        own = {service, topology.dead_queue(service)} if service in topology.BINDINGS else set()
        assert {queue for queue in queues if re.search(users[service]["read"], queue)} == own
        assert not [queue for queue in queues if re.search(users[service]["configure"], queue)]
        assert not [queue for queue in queues if re.search(users[service]["write"], queue)]
