"""Checker of the operators' resources against their CRDs, and recorder of the fields that they use; `make crds`.

The CRDs are not in this repository: they have other licenses, and a cluster has its own. `make crds CRDS=folder` reads
them from `folder/<operator>-<version>/*.yaml`, validates every resource of the operators against the full schema, and
writes the used fields to tests/deploy/operator_fields.json. Without the CRDs, the tests accept only recorded fields and
values. So a new field needs one run with the CRDs.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "deploy" / "operator_fields.json"
FOLDERS = (  # everything that uses operators
    *("overlays/production", "overlays/recovery"),
    *("components/gateway", "components/certificate", "components/keda"),
)
OF_KUBERNETES = {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"}

Manifest = dict[str, Any]
Kind = tuple[str, str]  # apiVersion and kind


def main() -> None:
    """Validate the resources with the CRDs of the folder in the first argument, and record their fields."""
    crds = read_crds(Path(sys.argv[1]))
    resources = [manifest for folder in FOLDERS for manifest in render(folder) if is_of_operator(manifest)]
    errors = [text for manifest in resources for text in invalid(manifest, crds)]
    if errors:
        sys.exit("\n".join(errors))
    RECORD.write_text(json.dumps(recorded(resources, crds), indent=2, sort_keys=True) + "\n")
    print(f"{len(resources)} resources are valid; wrote {RECORD.relative_to(ROOT)}")  # noqa: T201 - a command


def render(folder: str) -> list[Manifest]:
    """Return the manifests of a folder of deploy/kubernetes."""
    command = ["kubectl", "kustomize", str(ROOT / "deploy" / "kubernetes" / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(
        yaml.load_all(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    )  # C is faster


def is_of_operator(manifest: Manifest) -> bool:
    """Return True if Kubernetes itself does not know the kind."""
    return manifest["apiVersion"] not in OF_KUBERNETES


def read_crds(folder: Path) -> dict[Kind, tuple[str, Manifest]]:
    """Return the operator's name and version, and the strict schema, of each kind in the folder."""
    found = {}
    for file in sorted(folder.rglob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text()):
            if crd and crd["kind"] == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    kind = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[kind] = (file.parent.name, strict(version["schema"]["openAPIV3Schema"]))
    return found


def strict(schema: Manifest) -> Manifest:
    """Return the schema as JSON schema in which an unknown field is an error.

    Kubernetes removes unknown fields silently: a misspelled setting is then a missing one.
    """
    result = {key: value for key, value in schema.items() if key not in ("format", "description")}
    for key in ("properties", "items", "additionalProperties"):
        if key == "properties" and key in schema:
            result[key] = {name: strict(inner) for name, inner in schema[key].items()}
        elif isinstance(schema.get(key), dict):
            result[key] = strict(schema[key])
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
        result.pop("anyOf", None)
    return result


def invalid(manifest: Manifest, crds: dict[Kind, tuple[str, Manifest]]) -> Iterator[str]:
    """Yield a message for each error of a resource."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    kind = (manifest["apiVersion"], manifest["kind"])
    if kind not in crds:
        yield f"{name}: the folder has no CRD of {kind[0]} {kind[1]}"
        return
    schema = {**crds[kind][1], "properties": {**crds[kind][1]["properties"], "metadata": {"type": "object"}}}
    for error in jsonschema.Draft7Validator(schema).iter_errors(manifest):
        yield f"{name}: {error.json_path}: {error.message}"


def recorded(resources: Iterable[Manifest], crds: dict[Kind, tuple[str, Manifest]]) -> dict[str, Any]:
    """Return the record: for each kind its operator and the fields of its resources."""
    record: dict[str, Any] = {}
    for manifest in resources:
        kind = (manifest["apiVersion"], manifest["kind"])
        operator, schema = crds[kind]
        entry = record.setdefault(" ".join(kind), {"checked_with": operator, "spec": {}})
        entry["spec"] = merged(entry["spec"], used(manifest["spec"], schema["properties"]["spec"]))
    return record


def used(value: Any, schema: Manifest) -> Any:
    """Return the used fields as a tree. A leaf is a type, or the list of the used values of an enumeration.

    Free maps, such as PostgreSQL's parameters, are the leaf "map".
    """
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return {key: used(each, fields[key]) for key, each in value.items()} if fields else "map"
    if isinstance(value, list):
        items: Any = {}
        for each in value:
            items = merged(items, used(each, schema.get("items", {})))
        return [items]
    return [str(value)] if "enum" in schema else type(value).__name__


def merged(one: Any, other: Any) -> Any:
    """Return the union of two trees of `used`."""
    if not one or one == other:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: merged(one.get(key, {}), other.get(key, {})) or one.get(key) for key in one | other}
    if isinstance(one, list) and isinstance(other, list):
        if all(isinstance(each, str) for each in one + other) and one[0] not in ("str", "int", "bool", "map"):
            return sorted({*one, *other})
        return [merged(one[0], other[0])]
    return one


def unrecorded(value: Any, tree: Any, path: str) -> Iterator[str]:
    """Yield the path of each field and value that the record does not have."""
    if isinstance(value, dict) and isinstance(tree, dict):
        for key, each in value.items():
            yield from unrecorded(each, tree.get(key), f"{path}.{key}")
    elif isinstance(value, list) and isinstance(tree, list):
        for each in value:
            yield from unrecorded(each, tree[0], f"{path}[]")
    elif isinstance(value, dict):
        if tree != "map":
            yield path
    elif not (str(value) in tree if isinstance(tree, list) else type(value).__name__ == tree):
        yield f"{path}: {value}"


if __name__ == "__main__":
    main()
