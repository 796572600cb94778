"""The Helm chart: rendered by Helm's own library, it is the overlay for production; and its values do what they say."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tools import helm_chart, operator_fields

from .manifests import Manifest, containers, is_own, of_kind, pods
from .test_kubernetes import VERSION

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")

OWN_VALUES = {
    "image": {"registry": "registry.example.org/shop", "tag": "1.2.3", "pullSecrets": [{"name": "pull"}]},
    "hosts": {"pay": "pay.example.org", "shop": "shop.example.org"},
    "settings": {"checkout": {"SHIPPING_COUNTRIES": "FR"}, "webhooks": {"LIVEMODE": "false"}},
    "replicas": {"orders": {"web": {"max": 8}, "worker": {"min": 3, "max": 10}}},
    "secrets": {"store": {"kind": "ClusterSecretStore", "name": "own"}, "prefix": "shop/"},
    "ingress": {"className": "public", "annotations": {"example.org/buffer": "on"}},
    "monitoring": {"labels": {"release": "own"}},
    "postgres": {"backup": {"destinationPath": "s3://own/", "endpointURL": "https://s3.example.org"}},
}
OFF = {name: {"enabled": False} for name in ("secrets", "rabbitmq", "postgres", "keda", "monitoring", "certificate")}


def render_chart(values: dict[str, Any], revision: int = 1) -> list[Manifest]:
    """Return the manifests of a release in the namespace clozit."""
    with helm.Chart.load(str(helm_chart.CHART)) as chart:
        files = chart.render(values, name="clozit", namespace="clozit", revision=revision)
    return [each for text in files.values() for each in yaml.safe_load_all(text) if each]


@pytest.fixture(scope="module")
def default() -> list[Manifest]:
    return render_chart({})


@pytest.fixture(scope="module")
def own() -> list[Manifest]:
    return render_chart(OWN_VALUES)


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Return the manifests by kind and name, without what is meant to differ: names that change with the content."""
    found = {}
    for manifest in copy.deepcopy(manifests):
        manifest["metadata"].pop("namespace", None)
        for _name, _labels, spec in pods([manifest]):
            assert spec.pop("imagePullSecrets", []) == []
            for container in containers(spec):
                for source in container.get("envFrom", []):
                    source["configMapRef"]["name"] = plain(source["configMapRef"]["name"])
        annotations = manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {})
        if annotations.pop("checksum/settings", None):
            del manifest["spec"]["template"]["metadata"]["annotations"]
        name = manifest["metadata"]["name"]
        if manifest["kind"] in ("ConfigMap", "Job"):
            name = manifest["metadata"]["name"] = plain(name)
        found[manifest["kind"], name] = manifest
    return found


def plain(name: str) -> str:
    """Return a name without Kustomize's hash or Helm's revision."""
    return name if name == "clozit-dashboard" else re.sub(r"-([a-z0-9]{10}|\d+)$", "", name)


def test_generated_chart_is_up_to_date() -> None:
    generated = helm_chart.chart()
    for name, text in generated.items():
        assert (helm_chart.CHART / name).read_text() == text, f"run `make docs`: {name}"
    written = {f"templates/{file.name}" for file in (helm_chart.CHART / "templates").iterdir()}
    assert written | {"values.yaml", "values.schema.json"} == generated.keys()


def test_chart_is_the_overlay_for_production(default: list[Manifest], production: list[Manifest]) -> None:
    rendered, overlay = by_name(default), by_name(production)
    del overlay["Namespace", "clozit"]

    assert rendered.keys() == overlay.keys()
    for key, manifest in rendered.items():
        assert manifest == overlay[key], key


def test_chart_passes_helms_lint() -> None:
    result = helm.lint(str(helm_chart.CHART))

    assert result["total_charts_linted"] == 1
    assert result["errors"] == []
    assert {each["error"] for each in result["messages"]} == {"icon is recommended"}


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"regsitry": "registry.example.org"}},
        {"replicas": {"orders": {"worker": {"max": "many"}}}},
        {"settings": {"orders": {"LOG_LEVEL": 1}}},
    ],
)
def test_misspelled_values_are_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(str(helm_chart.CHART)) as chart:
        chart.validate_schema(chart.merge_values(OWN_VALUES))
        with pytest.raises(helm.HelmValuesError):
            chart.validate_schema(chart.merge_values(values))


def test_rendered_charts_match_the_schemas(default: list[Manifest], own: list[Manifest]) -> None:
    record = json.loads(operator_fields.RECORD.read_text())
    without = render_chart({**OFF, "ingress": {"enabled": False}, "gateway": {"enabled": True}})
    for manifest in [each for each in own + without if each not in default]:
        if operator_fields.is_of_operator(manifest):
            spec = record[f"{manifest['apiVersion']} {manifest['kind']}"]["spec"]
            assert list(operator_fields.unrecorded(manifest["spec"], spec, manifest["kind"])) == []
        else:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
    assert {each["kind"] for each in without if operator_fields.is_of_operator(each)} == {"Gateway", "HTTPRoute"}


def test_values_set_registry_and_tag_of_every_image(own: list[Manifest]) -> None:
    images = [
        each["image"] for _n, _l, spec in pods(own) for each in containers(spec) if "rabbitmq" not in each["image"]
    ]

    assert len(images) == 16
    assert all(re.fullmatch(r"registry\.example\.org/shop/\w+:1\.2\.3", image) for image in images)
    assert all(spec["imagePullSecrets"] == [{"name": "pull"}] for _name, _labels, spec in pods(own))


def test_values_replace_every_host(own: list[Manifest]) -> None:
    text = yaml.safe_dump([each for each in own if each["kind"] != "PrometheusRule"])

    assert "pay.example.com" not in text
    assert re.findall(r"https://shop\.example\.com", text) == []
    settings = of_kind(own, "ConfigMap")
    assert settings["checkout"]["data"]["SHOP_URL"] == "https://shop.example.org"
    assert settings["checkout"]["data"]["SHIPPING_COUNTRIES"] == "FR"
    assert settings["webhooks"]["data"]["LIVEMODE"] == "false"
    assert settings["notifications"]["data"]["PUBLIC_URL"] == "https://pay.example.org"


def test_new_settings_restart_only_their_pods(default: list[Manifest], own: list[Manifest]) -> None:
    def checksums(manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
        for name, each in of_kind(manifests, "Deployment").items():
            yield name, each["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]

    changed = render_chart({"settings": {"orders": {"LOG_LEVEL": "DEBUG"}}})
    before, after = dict(checksums(default)), dict(checksums(changed))
    assert {name for name in before if before[name] != after[name]} == {
        "orders",
        "orders-worker",
        "orders-reconcile",
    }
    assert all(before[name] != checksum for name, checksum in checksums(own) if name.startswith("checkout"))


def test_each_revision_has_jobs_of_its_own() -> None:
    first, second = of_kind(render_chart({}), "Job"), of_kind(render_chart({}, revision=2), "Job")

    assert not first.keys() & second.keys()
    assert {plain(name) for name in first} == {plain(name) for name in second}


def test_more_replicas_get_more_connections(own: list[Manifest]) -> None:
    """Values set the scalers, and the limits of the database follow: 22 for each process, 20 for jobs."""
    scaler = of_kind(own, "HorizontalPodAutoscaler")["orders"]["spec"]
    worker = of_kind(own, "ScaledObject")["orders-worker"]["spec"]
    [cluster] = of_kind(own, "Cluster").values()
    limits = {role["name"]: role["connectionLimit"] for role in cluster["spec"]["managed"]["roles"]}

    assert (scaler["maxReplicas"], worker["minReplicaCount"], worker["maxReplicaCount"]) == (8, 3, 10)
    assert limits == {"checkout": 240, "inventory": 240, "notifications": 240, "orders": 22 * (8 + 1 + 10 + 1) + 20}
    assert cluster["spec"]["postgresql"]["parameters"]["max_connections"] == str(sum(limits.values()) + 40)


def test_values_name_the_secret_store(own: list[Manifest]) -> None:
    for name, entry in of_kind(own, "ExternalSecret").items():
        assert entry["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "own"}, name
        assert entry["spec"]["dataFrom"] == [{"extract": {"key": f"shop/{name}"}}], name


def test_parts_can_be_replaced_by_your_own() -> None:
    without = render_chart(OFF)
    deployments = of_kind(without, "Deployment")

    assert not [each for each in without if operator_fields.is_of_operator(each)]
    assert "initContainers" not in of_kind(without, "Job")["webhooks-declare-1"]["spec"]["template"]["spec"]
    assert {
        name: each["spec"].get("replicas") for name, each in deployments.items() if "worker" in name
    } == dict.fromkeys(("checkout-worker", "orders-worker", "inventory-worker", "notifications-worker"), 2)


def test_ingress_takes_class_and_annotations(own: list[Manifest]) -> None:
    [ingress] = of_kind(own, "Ingress").values()

    assert ingress["spec"]["ingressClassName"] == "public"
    assert ingress["metadata"]["annotations"] == {"example.org/buffer": "on"}


def test_values_of_the_readme_render() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", (helm_chart.CHART / "README.md").read_text(), re.DOTALL)
    values = yaml.safe_load(example)
    with helm.Chart.load(str(helm_chart.CHART)) as chart:
        chart.validate_schema(chart.merge_values(values))
    text = yaml.safe_dump(render_chart(values))

    assert "registry.your-company.example/clozit/orders:0.1.0" in text
    assert "example.com" not in text
    assert "registry.invalid" not in text


def test_chart_has_the_version_of_the_packages() -> None:
    chart = yaml.safe_load((helm_chart.CHART / "Chart.yaml").read_text())
    package = (operator_fields.ROOT / "libs" / "events" / "pyproject.toml").read_text()
    tags = {
        each["image"].partition(":")[2]
        for _n, _l, spec in pods(render_chart({}))
        for each in containers(spec)
        if is_own(each["image"])
    }

    assert f'version = "{chart["appVersion"]}"' in package
    assert tags == {chart["appVersion"]}
