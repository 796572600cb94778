"""The rules for docker-compose.yml. `make smoke-compose` shows that it works."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from events.messaging import topology

from .log_sizes import PROXY_LINE_BYTES

ROOT = Path(__file__).parents[2]
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def own_services(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: spec for name, spec in compose["services"].items() if spec["image"].startswith("clozit/")}


def test_ports_are_published_only_on_loopback(compose: dict[str, Any]) -> None:
    published = [port for spec in compose["services"].values() for port in spec.get("ports", [])]

    assert len(published) >= 10
    assert all(port.startswith("127.0.0.1:${") for port in published)


def test_own_containers_are_confined(compose: dict[str, Any]) -> None:
    for name, spec in own_services(compose).items():
        assert spec["read_only"] is True, name
        assert spec["cap_drop"] == ["ALL"], name
        assert spec["security_opt"] == ["no-new-privileges:true"], name


def test_every_container_is_limited_and_rotates_its_log(compose: dict[str, Any]) -> None:
    for name, spec in compose["services"].items():
        assert "memory" in spec["deploy"]["resources"]["limits"], name
        assert {"max-size", "max-file"} <= spec["logging"]["options"].keys(), name


def megabytes(text: str) -> int:
    assert text.endswith("m"), text
    return int(text[:-1])


def test_proxys_log_reaches_back_as_long_as_documented(compose: dict[str, Any]) -> None:
    [(gigabytes, days, rate)] = re.findall(
        r"Compose: (\d+) GB before compression, which is (\d+) days at (\d+) requests/s",
        (ROOT / "docs" / "security.md").read_text(),
    )
    options = compose["services"]["proxy"]["logging"]["options"]
    size = megabytes(options["max-size"]) * int(options["max-file"]) * 10**6

    assert size == int(gigabytes) * 10**9
    assert size >= int(days) * 86_400 * int(rate) * PROXY_LINE_BYTES
    assert options["compress"] == "true"


def test_images_of_others_have_a_full_version(compose: dict[str, Any]) -> None:
    images = {spec["image"] for spec in compose["services"].values() if not spec["image"].startswith("clozit/")}

    assert len(images) >= 5
    assert [image for image in images if not re.fullmatch(r"[\w/.-]+:v?\d+\.\d+(\.\d+)?(-management)?", image)] == []


def test_own_images_are_built_and_never_pulled(compose: dict[str, Any]) -> None:
    builders: dict[str, list[str]] = {}
    for name, spec in own_services(compose).items():
        assert spec["pull_policy"] == "never", name
        builders.setdefault(spec["image"], []).extend([name] if "build" in spec else [])
    assert len(builders) == 6
    assert {image: names for image, names in builders.items() if len(names) != 1} == {}, "a second build replaces it"


def test_mailbox_and_fake_stripe_are_only_in_the_demo(compose: dict[str, Any]) -> None:
    for name in ("mailpit", "fake-stripe", "shop", "checkout-seed", "inventory-seed"):
        assert compose["services"][name]["profiles"] == ["demo"], name
    ours = [spec for spec in own_services(compose).values() if "profiles" not in spec]
    assert not [spec for spec in ours if "mailpit" in spec.get("depends_on", {})]


def test_postgres_logs_no_values_of_customers(compose: dict[str, Any]) -> None:
    command = compose["services"]["postgres"]["command"]
    wanted = ("log_parameter_max_length=0", "log_parameter_max_length_on_error=0", "log_error_verbosity=terse")
    for setting in wanted:
        assert f"-c {setting}" in command


def test_services_have_web_processes_and_consumers_workers(compose: dict[str, Any]) -> None:
    for service in SERVICES:
        assert compose["services"][service]["command"] == ["web"]
    for service in topology.BINDINGS:
        assert compose["services"][f"{service}-worker"]["command"] == ["worker"]


def test_secrets_come_only_from_files(compose: dict[str, Any]) -> None:
    for name, spec in own_services(compose).items():
        for variable, value in spec.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.removeprefix("/run/secrets/") in spec["secrets"], (name, variable)
    assert all(secret["file"].startswith(".secrets/") for secret in compose["secrets"].values())


def test_containers_have_only_the_secrets_that_they_use(compose: dict[str, Any]) -> None:
    for name, spec in own_services(compose).items():
        used = {str(value).removeprefix("/run/secrets/") for value in spec.get("environment", {}).values()}
        assert set(spec.get("secrets", [])) <= used, name


def test_services_read_only_their_own_queues() -> None:
    users = yaml.safe_load((ROOT / "deploy" / "rabbitmq" / "users.json").read_text())
    queues = [queue.name for queue in topology.QUEUES]

    for service in SERVICES:
        own = {service, topology.dead_letter_queue(service)} if service in topology.BINDINGS else {topology.WATERMARK}
        assert {queue for queue in queues if re.search(users[service]["read"], queue)} == own
        assert not [queue for queue in queues if re.search(users[service]["configure"], queue)]
        assert not [queue for queue in queues if re.search(users[service]["write"], queue)]


def long_running(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: spec for name, spec in compose["services"].items() if spec["restart"] != "no"}


def test_long_running_containers_restart_and_report_health(compose: dict[str, Any]) -> None:
    for name, spec in long_running(compose).items():
        assert spec["restart"] == "unless-stopped", name
        has_image_check = spec["image"].startswith(("clozit/", "axllent/mailpit")) and not name.startswith(
            ("fake", "shop")
        )
        assert has_image_check or "healthcheck" in spec, name
    once = compose["services"].keys() - long_running(compose).keys()
    assert {f"{service}-migrate" for service in topology.BINDINGS} | {"databases", "broker-topology"} <= once


def test_no_container_can_gain_privileges(compose: dict[str, Any]) -> None:
    for name, spec in compose["services"].items():
        assert spec["security_opt"] == ["no-new-privileges:true"], name


def test_own_containers_have_time_to_stop(compose: dict[str, Any]) -> None:
    assert {spec["stop_grace_period"] for spec in own_services(compose).values()} == {"15s"}


def test_networks_join_only_containers_that_need_them(compose: dict[str, Any]) -> None:
    """Check that exactly the containers with a port are public, and that none of them can reach a database."""
    networks_by_name = {name: set(spec["networks"]) for name, spec in compose["services"].items()}
    internal = {name for name, network in compose["networks"].items() if network.get("internal")}

    assert internal == {"web", "broker", "database", "mail", "metrics"}
    assert not [
        name for name in networks_by_name if name.startswith("webhooks") and "database" in networks_by_name[name]
    ]
    assert {name for name, networks in networks_by_name.items() if "public" in networks} == {
        name for name, spec in compose["services"].items() if "ports" in spec
    }
    assert [name for name, networks in networks_by_name.items() if networks >= {"public", "database"}] == []
