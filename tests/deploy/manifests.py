"""Functions that read rendered manifests as Kubernetes does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"

Manifest = dict[str, Any]


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    """Return the manifests of these kinds by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] in kinds}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield (name, labels, spec) of every pod that a manifest creates."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = manifest["spec"]["template"]
            yield name, template["metadata"]["labels"], template["spec"]


def operator_pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield (name, labels) of the pods that RabbitMQ's operator and CloudNativePG make, with the labels they set."""
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        app = "app.kubernetes.io"
        if manifest["kind"] == "RabbitmqCluster":
            yield name, {f"{app}/name": name, f"{app}/component": "rabbitmq", f"{app}/part-of": "rabbitmq"}
        elif manifest["kind"] == "Cluster":
            inherited = manifest["spec"]["inheritedMetadata"]["labels"]
            yield name, {**inherited, "cnpg.io/cluster": name, f"{app}/name": "postgresql"}


def is_own(image: str) -> bool:
    """Return True for an image that is built from this repository."""
    return "clozit/" in image


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
