"""The settings of the manifests, read by the services themselves, with the secrets as files."""

import importlib
import re
from pathlib import Path

import pytest
from events.config import settings

from .manifests import KUBERNETES, Manifest, is_own, of_kind, pods

SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
SECRETS = {
    "DATABASE_URL": "postgresql://orders:password@postgres-rw:5432/orders",
    "BROKER_URL": "amqps://orders:password@rabbitmq:5671/%2F",
    "OPERATOR_TOKENS": "ana:0123456789abcdef0123",
    "SERVICE_TOKEN": "0123456789abcdef0123",
    "STRIPE_API_KEY": "sk_live_0123456789abcdef",
    "STRIPE_WEBHOOK_SECRETS": "whsec_0123456789abcdef",
    "SMTP_URL": "smtps://mailer:password@mail.example.com",
    "UNSUBSCRIBE_SECRET": "0123456789abcdef0123",
}


def environment_of(manifests: list[Manifest], pod: str, secrets: Path) -> dict[str, str]:
    """Return the variables of a pod's container, with its secrets as files in a folder."""
    [spec] = [spec for name, _labels, spec in pods(manifests) if name == pod]
    container = spec["containers"][0]
    [source] = container["envFrom"]
    found = dict(of_kind(manifests, "ConfigMap")[source["configMapRef"]["name"]]["data"])
    found |= {each["name"]: each["value"] for each in container.get("env", [])}
    mode = "test" if found.get("LIVEMODE") == "false" else "live"
    for key, value in SECRETS.items():
        (secrets / key).write_text(value.replace("sk_live", f"sk_{mode}") + "\n")
    return {key: value.replace("/run/secrets", str(secrets)) for key, value in found.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_service_starts_with_the_settings_of_its_pods(
    manifests: list[Manifest], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load the settings as each process does. Each variable is one that the service reads."""
    module = importlib.import_module(f"{service}.config")
    declared = {each.variable for each in settings(module.Config).values()}
    own = [
        name
        for name, labels, spec in pods(manifests)
        if labels["app.kubernetes.io/name"] == service and is_own(spec["containers"][0]["image"])
    ]
    assert len(own) >= 2
    for pod in own:
        environment = environment_of(manifests, pod, tmp_path)
        assert {key.removesuffix("_FILE") for key in environment} <= declared, pod
        with monkeypatch.context() as patched:
            for key in declared:
                patched.delenv(key, raising=False)
                patched.delenv(f"{key}_FILE", raising=False)
            for key, value in environment.items():
                patched.setenv(key, value)
            config = module.load()
        assert config.broker_url == SECRETS["BROKER_URL"], pod
        assert config.declare_topology is False, pod


def test_secret_store_has_every_file_that_settings_name(production: list[Manifest]) -> None:
    """The comment above an entry of the store lists its keys. Settings name each of them, also the optional ones."""
    text = (KUBERNETES / "overlays" / "production" / "secrets.yaml").read_text()
    listed = re.findall(r"^# (.*)\nmetadata: {name: (\w+)}$", text, re.MULTILINE)
    keys = {name: set(line.split(", ")) for line, name in listed if name in SERVICES}
    named = {
        name.rpartition("-")[0]: {key.removesuffix("_FILE") for key in each["data"] if key.endswith("_FILE")}
        for name, each in of_kind(production, "ConfigMap").items()
        if name.rpartition("-")[0] in SERVICES
    }
    assert keys == named


def test_production_takes_live_events(production: list[Manifest], local: list[Manifest]) -> None:
    def livemode(manifests: list[Manifest]) -> set[str]:
        return {
            each["data"]["LIVEMODE"] for each in of_kind(manifests, "ConfigMap").values() if "LIVEMODE" in each["data"]
        }

    assert (livemode(production), livemode(local)) == ({"true"}, {"false"})
