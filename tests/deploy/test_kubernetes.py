"""The manifests that kubectl renders: Kubernetes' own schemas, and the rules for them."""

import re

import kubernetes_validate

from tools.operator_fields import is_of_operator

from .manifests import KUBERNETES, Manifest, containers, is_own, matches, of_kind, operator_pods, pods

VERSION = "1.32"
OLDEST_VERSION = "1.30"  # as docs/operations.md says
SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "API_KEY", "DATABASE_URL", "BROKER_URL", "SMTP_URL")


def test_every_manifest_matches_the_schema_of_kubernetes(manifests: list[Manifest]) -> None:
    checked = [manifest for manifest in manifests if not is_of_operator(manifest)]
    for manifest in checked:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    assert len(checked) > 40


def test_oldest_kubernetes_knows_every_field(production: list[Manifest]) -> None:
    text = (KUBERNETES.parents[1] / "docs" / "operations.md").read_text()
    assert f"| Kubernetes | everything | {OLDEST_VERSION} | {VERSION} |" in text
    for manifest in production:
        if manifest["kind"] in ("Deployment", "Job", "HorizontalPodAutoscaler", "Ingress"):
            kubernetes_validate.validate(manifest, OLDEST_VERSION, strict=True)


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
            assert own.get("readOnlyRootFilesystem") or not is_own(container["image"]), name


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
    """Settings name only the files of secrets. Only PostgreSQL's own image gets its password in a variable."""
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]
    for manifest in manifests:
        if manifest["kind"] == "ConfigMap":
            for key, value in manifest["data"].items():
                if any(word in key for word in SECRET_WORDS):
                    assert value == f"/run/secrets/{key.removesuffix('_FILE')}", key
    for name, _labels, spec in pods(manifests):
        for container in containers(spec):
            assert not [source for source in container.get("envFrom", []) if "secretRef" in source], name
            for variable in container.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    assert not is_own(container["image"]), name
                elif any(word in variable["name"] for word in SECRET_WORDS):
                    assert variable["name"].endswith("_FILE"), name


def test_named_secret_files_are_mounted(manifests: list[Manifest]) -> None:
    """Compare the files that the settings name with those that the secrets' comments in the base promise."""
    settings = of_kind(manifests, "ConfigMap")
    for name, _labels, spec in pods(manifests):
        container = spec["containers"][0]
        if is_own(container["image"]):
            [source] = container["envFrom"]
            variables = settings[source["configMapRef"]["name"]]["data"] | {
                each["name"]: each["value"] for each in container.get("env", [])
            }
            assert {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True} in container["volumeMounts"], name
            files = {value for key, value in variables.items() if key.endswith("_FILE")}
            assert files, name
            assert all(file.startswith("/run/secrets/") for file in files), name
            assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"], name
            [volume] = [each for each in spec["volumes"] if each["name"] == "secrets"]
            assert (volume.get("secret") or volume["projected"])["defaultMode"] == 0o440, name


def test_references_of_pods_have_a_target(manifests: list[Manifest]) -> None:
    """Check config maps, and in production each secret by its entry in the external store."""
    made = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    with_store = any(kind == "ExternalSecret" for kind, _name in made)
    for name, _labels, spec in pods(manifests):
        for source in (source for container in containers(spec) for source in container.get("envFrom", [])):
            assert ("ConfigMap", source["configMapRef"]["name"]) in made, name
        for volume in spec.get("volumes", []):
            projected = [source["secret"]["name"] for source in volume.get("projected", {}).get("sources", [])]
            secrets = [volume["secret"]["secretName"]] if "secret" in volume else projected
            if with_store:
                assert {("ExternalSecret", secret) for secret in secrets} <= made, name


def test_new_settings_replace_the_pods(manifests: list[Manifest]) -> None:
    """The name of a ConfigMap has the hash of its content, so new content changes the pods that name it."""
    for name, _labels, spec in pods(manifests):
        for source in spec["containers"][0].get("envFrom", []):
            assert re.fullmatch(r"[a-z]+-[a-z0-9]{10}", source["configMapRef"]["name"]), name


def test_jobs_can_be_applied_again_by_gitops(manifests: list[Manifest]) -> None:
    """A job cannot be changed, and one that removes itself would be created again and again."""
    for name, job in of_kind(manifests, "Job").items():
        if is_own(job["spec"]["template"]["spec"]["containers"][0]["image"]):
            annotations = job["metadata"]["annotations"]
            assert annotations["argocd.argoproj.io/hook"] == "Sync", name
            assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation", name
            assert annotations["kustomize.toolkit.fluxcd.io/force"] == "enabled", name
            assert "ttlSecondsAfterFinished" not in job["spec"], name


def test_images_come_from_no_strangers_registry(production: list[Manifest]) -> None:
    """Without a registry, an image's name is one of Docker Hub. `invalid` is reserved and never resolves (RFC 2606)."""
    own = [each["image"] for _n, _l, spec in pods(production) for each in containers(spec) if is_own(each["image"])]

    assert len(own) == 16
    assert all(re.fullmatch(r"registry\.invalid/clozit/[a-z]+:\d+\.\d+\.\d+", image) for image in own)


def test_local_images_are_never_pulled(local: list[Manifest]) -> None:
    own = [each for _n, _l, spec in pods(local) for each in containers(spec) if is_own(each["image"])]

    assert len(own) == 16
    assert {each.get("imagePullPolicy") for each in own} == {"Never"}


def test_every_service_and_budget_selects_a_pod(manifests: list[Manifest]) -> None:
    labels = [labels for _name, labels, _spec in pods(manifests)]
    labels += [labels for _name, labels in operator_pods(manifests)]
    selecting = [
        (manifest, {"matchLabels": manifest["spec"]["selector"]} if kind == "Service" else manifest["spec"]["selector"])
        for manifest in manifests
        if (kind := manifest["kind"]) in ("Service", "PodDisruptionBudget")
    ]
    for manifest, selector in selecting:
        assert any(matches(selector, one) for one in labels), manifest["metadata"]["name"]
    assert len(selecting) >= 14


def test_traffic_is_denied_by_default(manifests: list[Manifest]) -> None:
    policy = of_kind(manifests, "NetworkPolicy")["default-deny"]

    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
