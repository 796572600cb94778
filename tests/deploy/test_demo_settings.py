"""The composed demo has the settings of the embedded one, so `make smoke-compose` checks what `make smoke` checks."""

import re
from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from events.config import read_environment, settings

from demo.embedded import create_configs
from demo.ports import DEFAULTS, Ports

from .configuring import configuration

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
# Addresses and the like, which differ in containers.
OF_THE_PLACE = {"ALLOWED_ORIGINS", "LOG_LEVEL", "PORT", "BROKER_URL", "STRIPE_API_BASE", "INVENTORY_URL", "SHOP_URL"}
OF_THE_PLACE |= {"PUBLIC_URL", "DECLARE_TOPOLOGY"}  # in containers, one command declares the topology


def demo_settings() -> dict[str, str]:
    """Return what `make up` writes to the settings file of the demo."""
    settings: dict[str, str] = configuration().demo_settings({})
    return settings


def passed_to(service: str) -> dict[str, str]:
    """Return the environment of a service's containers in the demo."""
    given = demo_settings()
    environment = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    variable = r"\$\{(\w+):[-?]([^}]*)\}"
    return {
        name: re.sub(variable, lambda found: given.get(found[1], found[2]), str(value))
        for name, value in environment.items()
    }


@pytest.mark.parametrize("service", ["checkout", "webhooks", "orders", "inventory", "notifications"])
def test_composed_demo_is_set_like_the_embedded_one(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = create_configs(tmp_path, Ports(DEFAULTS), 25, "whsec_1", "sk_test_1", "http://stripe")[service]
    passed, kinds = passed_to(service), get_type_hints(type(config))
    for field, declared in settings(type(config)).items():
        value = getattr(config, field)
        if declared.is_secret or declared.variable in OF_THE_PLACE:
            continue
        monkeypatch.delenv(declared.variable, raising=False)
        if declared.variable in passed:
            monkeypatch.setenv(declared.variable, passed[declared.variable])
        with read_environment() as env:
            assert declared.read(env, kinds[field]) == value, declared.variable


def test_compose_passes_on_every_setting_of_the_demo() -> None:
    read = {*re.findall(r"\$\{(\w+):", COMPOSE), "COMPOSE_PROFILES"}

    assert demo_settings().keys() - read == set()
