"""docker-compose.yml against our rules; what it does when it runs is shown by `make smoke-compose`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from events.messaging import topology

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
    queues = [*topology.BINDINGS, *map(topology.dead_letter_queue, topology.BINDINGS), topology.UNROUTED]

    for service in SERVICES:
        own = {service, topology.dead_letter_queue(service)} if service in topology.BINDINGS else set()
        assert {queue for queue in queues if re.search(users[service]["read"], queue)} == own
        assert not [queue for queue in queues if re.search(users[service]["configure"], queue)]
        assert not [queue for queue in queues if re.search(users[service]["write"], queue)]


def lasting(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: spec for name, spec in compose["services"].items() if spec["restart"] != "no"}


def test_whatever_lasts_comes_back_and_says_how_it_is(compose: dict[str, Any]) -> None:
    for name, spec in lasting(compose).items():
        assert spec["restart"] == "unless-stopped", name
        by_image = spec["image"].startswith(("clozit/", "axllent/mailpit")) and not name.startswith(("fake", "shop"))
        assert by_image or "healthcheck" in spec, name
    once = compose["services"].keys() - lasting(compose).keys()
    assert {f"{service}-migrate" for service in topology.BINDINGS} | {"databases", "broker-topology"} <= once


def test_nobody_gains_privileges(compose: dict[str, Any]) -> None:
    for name, spec in compose["services"].items():
        assert spec["security_opt"] == ["no-new-privileges:true"], name


def test_ours_have_time_to_finish(compose: dict[str, Any]) -> None:
    assert {spec["stop_grace_period"] for spec in ours(compose).values()} == {"15s"}


def test_each_network_joins_those_who_need_it_alone(compose: dict[str, Any]) -> None:
    """What is stored is reached by who stores it; what leads outside is not among what is internal."""
    joined = {name: set(spec["networks"]) for name, spec in compose["services"].items()}
    inside = {name for name, network in compose["networks"].items() if network.get("internal")}

    assert inside == {"web", "broker", "database", "mail", "metrics"}
    assert not [name for name in joined if name.startswith("webhooks") and "database" in joined[name]]
    assert {name for name, networks in joined.items() if "public" in networks} == {
        name for name, spec in compose["services"].items() if "ports" in spec
    }
    assert [name for name, networks in joined.items() if networks >= {"public", "database"}] == []
