"""The manifests that `kubectl kustomize` renders, and functions that read them as Kubernetes does."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def render(overlay: str) -> list[Manifest]:
    """Return all manifests of an overlay."""
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(rendered))


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """Return the manifests of these kinds by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] in kinds}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield (name, labels, spec) of every pod that a manifest creates."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = manifest["spec"]["template"]
        elif manifest["kind"] == "CronJob":
            template = manifest["spec"]["jobTemplate"]["spec"]["template"]
        else:
            continue
        yield name, template["metadata"]["labels"], template["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return a pod's containers and init containers."""
    return [*pod["containers"], *pod.get("initContainers", [])]


def matches(selector: Manifest, labels: Manifest) -> bool:
    """Return True if a label selector selects these labels. It knows the operators that the manifests use."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        {"In": labels.get(rule["key"]) in rule.get("values", [])}[rule["operator"]]
        for rule in selector.get("matchExpressions", [])
    )
