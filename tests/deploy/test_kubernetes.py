"""The manifests that kubectl renders: Kubernetes' own schemas, and the rules for them."""

import kubernetes_validate

from .manifests import Manifest, containers, matches, pods

VERSION = "1.32"
OPERATOR_KINDS = {  # only their operators have their schemas
    *("PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication", "ExternalSecret"),
    *("RabbitmqCluster", "Cluster", "Database"),
}
SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "API_KEY", "DATABASE_URL", "BROKER_URL", "SMTP_URL")


def test_every_manifest_matches_the_schema_of_kubernetes(manifests: list[Manifest]) -> None:
    checked = [manifest for manifest in manifests if manifest["kind"] not in OPERATOR_KINDS]
    for manifest in checked:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    assert len(checked) > 40


def test_every_pod_is_confined(manifests: list[Manifest]) -> None:
    """Check the rules of the namespace's label `restricted`, and a read-only root for our own containers."""
    for name, _labels, spec in pods(manifests):
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(spec):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert own.get("readOnlyRootFilesystem") or not container["image"].startswith("clozit/"), name


def test_every_container_is_limited(manifests: list[Manifest]) -> None:
    for name, _labels, spec in pods(manifests):
        for container in containers(spec):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
            assert "memory" in container["resources"]["limits"], name


def test_every_server_is_probed(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] == "Deployment" and "clozit/" in str(manifest["spec"]["template"]):
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            name = manifest["metadata"]["name"]
            assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}, name
            assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}, name
            [health] = [port["containerPort"] for port in container["ports"] if port["name"] == "health"]
            assert {"name": "HEALTH_PORT", "value": str(health)} in container["env"], name


def test_manifests_contain_no_secret(manifests: list[Manifest]) -> None:
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            assert not [key for key in manifest["data"] if any(word in key for word in SECRET_WORDS)]
    for name, _labels, spec in pods(manifests):
        for variable in (variable for container in containers(spec) for variable in container.get("env", [])):
            if any(word in variable["name"] for word in SECRET_WORDS):
                assert "secretKeyRef" in variable["valueFrom"], name


def test_references_of_pods_have_a_target(manifests: list[Manifest]) -> None:
    """Check config maps, and in production each secret by its entry in the external store."""
    made = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    with_store = any(kind == "ExternalSecret" for kind, _name in made)
    for name, _labels, spec in pods(manifests):
        for source in (source for container in containers(spec) for source in container.get("envFrom", [])):
            if reference := source.get("configMapRef"):
                assert ("ConfigMap", reference["name"]) in made, name
            elif with_store:
                assert ("ExternalSecret", source["secretRef"]["name"]) in made, name


def test_every_service_and_budget_selects_a_pod(manifests: list[Manifest]) -> None:
    labels = [labels for _name, labels, _spec in pods(manifests)]
    selecting = [
        (manifest, {"matchLabels": manifest["spec"]["selector"]} if kind == "Service" else manifest["spec"]["selector"])
        for manifest in manifests
        if (kind := manifest["kind"]) in ("Service", "PodDisruptionBudget")
    ]
    for manifest, selector in selecting:
        assert any(matches(selector, one) for one in labels), manifest["metadata"]["name"]
    assert len(selecting) >= 14


def test_ingress_may_reach_the_service_of_every_route(manifests: list[Manifest]) -> None:
    policies = [manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"]
    services = {
        manifest["metadata"]["name"]: manifest["spec"]["selector"]
        for manifest in manifests
        if manifest["kind"] == "Service"
    }
    routes = [
        (path["path"], path["backend"]["service"]["name"])
        for manifest in manifests
        if manifest["kind"] == "Ingress"
        for rule in manifest["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    for path, service in routes:
        assert any(
            "ingress-nginx" in str(policy.get("ingress")) and matches(policy["podSelector"], services[service])
            for policy in policies
        ), path
    assert not [path for path, _service in routes if path in ("/", "/ops", "/metrics", "/orders")]


def test_policies_cover_every_pod(manifests: list[Manifest]) -> None:
    """Check the default denial. Every own pod may reach the broker, and all but the ingest their database."""
    policies = {
        manifest["metadata"]["name"]: manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy"
    }
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, labels, spec in pods(manifests):
        if spec["containers"][0]["image"].startswith("clozit/"):
            assert matches(policies["to-broker"]["podSelector"], labels), name
            has_database = labels["app.kubernetes.io/name"] != "webhooks"
            assert matches(policies["to-database"]["podSelector"], labels) == has_database, name
