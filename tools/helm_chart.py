"""Generator of the Helm chart in deploy/chart from the Kustomize overlay for production; run by `make docs`.

Both describe the same system: tests render the chart with its default values and compare the result with the overlay.
The chart's values.yaml is generated, too. Chart.yaml and README.md are written by hand.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tools.operator_fields import ROOT, render

CHART = ROOT / "deploy" / "chart"
SERVICES = ("checkout", "webhooks", "orders", "inventory", "notifications")
PROCESS_CONNECTIONS = 22  # at most, of a process: docs/operations.md, "Connections"
COMMANDS_CONNECTIONS = 20  # of the jobs of a service
OTHER_CONNECTIONS = 40  # of replication, the operator and people
WRITTEN = "# Written by `make docs` from deploy/kubernetes.\n"
HOSTS = {"pay.example.com": "pay", "shop.example.com": "shop"}
EXPRESSION = re.compile(r"'?@@(\d+)@@'?(: null)?")

Manifest = dict[str, Any]

VALUES_HEAD = """\
# Written by `make docs` from deploy/kubernetes: change the values in a file of your own.
"""


class Expressions:
    """The template expressions of one file. YAML is dumped with tokens, which become the expressions afterwards."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __call__(self, text: str) -> str:
        """Return the token of an expression, for a value. As a key with the value None, it becomes lines of its own."""
        self._texts.append(text)
        return f"@@{len(self._texts) - 1}@@"

    def dump(self, manifest: Manifest) -> str:
        """Return the manifest as a template. Braces of other template languages are escaped."""
        text = yaml.safe_dump(manifest, sort_keys=False, width=1000, allow_unicode=True)
        text = re.sub(r"{{|}}", lambda found: f'{{{{ "{found[0]}" }}}}', text)
        return EXPRESSION.sub(lambda found: self._texts[int(found[1])], text)


def main() -> None:
    """Write the chart's templates and values."""
    templates = CHART / "templates"
    shutil.rmtree(templates, ignore_errors=True)
    templates.mkdir(parents=True)
    for name, text in chart().items():
        (CHART / name).write_text(text)


def chart() -> dict[str, str]:
    """Return the generated files of the chart by name."""
    manifests = [each for each in render("overlays/production") if each["kind"] != "Namespace"]
    defaults = values(manifests)
    schema = {"$schema": "https://json-schema.org/draft-07/schema#", **schema_of(defaults)}
    files = {
        "values.yaml": VALUES_HEAD + yaml.safe_dump(defaults, sort_keys=False, width=1000),
        "values.schema.json": json.dumps(schema, indent=2) + "\n",
    }
    sources = [(each, group_of(each)) for each in manifests]
    sources += [(each, "gateway") for each in render("components/gateway")]
    for manifest, group in sources:
        name = f"templates/{group}.yaml"
        files[name] = files.get(name, WRITTEN) + template(manifest, group)
    return files


def group_of(manifest: Manifest) -> str:
    """Return the name of the template file of a manifest; most are that of the value that switches it on."""
    kind, name = manifest["kind"], plain_name(manifest)
    by_kind = {
        **dict.fromkeys(("Cluster", "Database", "ObjectStore", "ScheduledBackup"), "postgres"),
        **dict.fromkeys(("ScaledObject", "TriggerAuthentication"), "keda"),
        **dict.fromkeys(("PodMonitor", "PrometheusRule"), "monitoring"),
        "RabbitmqCluster": "rabbitmq",
        "Certificate": "certificate",
        "Ingress": "ingress",
        "ExternalSecret": "secrets",
    }
    by_name = {"rabbitmq": "rabbitmq", "postgres": "postgres", "acme-solver": "certificate"}
    if kind in by_kind:
        return by_kind[kind]
    if name == "clozit-dashboard":
        return "monitoring"
    if kind in ("NetworkPolicy", "PodDisruptionBudget") and name in by_name:
        return by_name[name]
    return "network-policies" if kind == "NetworkPolicy" else service_of(name)


def plain_name(manifest: Manifest) -> str:
    """Return the name without the hash that Kustomize gives to a ConfigMap with settings."""
    name: str = manifest["metadata"]["name"]
    is_hashed = manifest["kind"] == "ConfigMap" and re.search(r"-[a-z0-9]{10}$", name)
    return name[:-11] if is_hashed and name != "clozit-dashboard" else name


def service_of(name: str) -> str:
    """Return the service that a resource belongs to."""
    return next(service for service in SERVICES if name.split("-")[0] == service)


def template(manifest: Manifest, group: str) -> str:
    """Return one manifest as a template, with its condition."""
    expression = Expressions()
    manifest["metadata"].pop("namespace", None)
    manifest["metadata"]["name"] = plain_name(manifest)
    EDITS.get(manifest["kind"], lambda _manifest, _expression: None)(manifest, expression)
    replace_hosts(manifest, expression)
    text = expression.dump(manifest)
    condition = condition_of(manifest, group)
    return f"---\n{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n" if condition else f"---\n{text}"


def condition_of(manifest: Manifest, group: str) -> str:
    """Return the condition of a manifest, or an empty text."""
    name = manifest["metadata"]["name"]
    if group == "secrets":
        needs = {"rabbitmq": "rabbitmq", "rabbitmq-admin": "rabbitmq", "keda-rabbitmq": "keda"}
        other = "postgres" if name.startswith("postgres-") else needs.get(name)
        return f"and .Values.secrets.enabled .Values.{other}.enabled" if other else ".Values.secrets.enabled"
    if group == "monitoring" and name in ("postgres", "rabbitmq", "clozit-backups"):
        other = "rabbitmq" if name == "rabbitmq" else "postgres"
        return f"and .Values.monitoring.enabled .Values.{other}.enabled"
    return "" if group in (*SERVICES, "network-policies") else f".Values.{group}.enabled"


def walk(value: Any) -> Iterator[Manifest]:
    """Yield every mapping inside a value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(each)


def replace_hosts(manifest: Manifest, expression: Expressions) -> None:
    """Replace the placeholders of hosts by the values."""
    for mapping in walk(manifest):
        for key, value in mapping.items():
            if isinstance(value, str) and value in HOSTS:
                mapping[key] = expression(f"{{{{ .Values.hosts.{HOSTS[value]} }}}}")
            elif isinstance(value, list):
                mapping[key] = [
                    expression(f"{{{{ .Values.hosts.{HOSTS[each]} }}}}")
                    if isinstance(each, str) and each in HOSTS
                    else each
                    for each in value
                ]


def edit_settings(manifest: Manifest, expression: Expressions) -> None:
    """Take the settings of a service from the values."""
    service = manifest["metadata"]["name"]
    if service in SERVICES:
        manifest["data"] = {expression(f"{settings_of(service)} | nindent 2 }}}}"): None}


def settings_of(service: str) -> str:
    """Return the beginning of the expression that renders the settings of a service."""
    return f"{{{{- tpl (toYaml .Values.settings.{service}) ."


def edit_pod(spec: Manifest, expression: Expressions) -> str:
    """Set the images of a pod, and return its service."""
    service = ""
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        if found := re.fullmatch(r"registry\.invalid/clozit/(\w+):.*", container["image"]):
            service = found[1]
            tag = "{{ .Values.image.tag | default .Chart.AppVersion }}"
            container["image"] = expression(f'"{{{{ .Values.image.registry }}}}/{service}:{tag}"')
        else:
            container["image"] = expression("{{ .Values.rabbitmq.image }}")
        for source in container.get("envFrom", []):
            source["configMapRef"]["name"] = service
    spec["imagePullSecrets"] = expression("{{ toJson .Values.image.pullSecrets }}")
    return service


def edit_deployment(manifest: Manifest, expression: Expressions) -> None:
    """Restart the pods with new settings. Without KEDA, the values set the number of workers."""
    pod = manifest["spec"]["template"]
    service = edit_pod(pod["spec"], expression)
    checksum = expression(f"{settings_of(service).replace('{{-', '{{')} | sha256sum }}}}")
    pod["metadata"]["annotations"] = {"checksum/settings": checksum}
    if manifest["metadata"]["name"].endswith("-worker"):
        minimum = f".Values.replicas.{service}.worker.min"
        text = f"{{{{- if not .Values.keda.enabled }}}}\n  replicas: {{{{ {minimum} }}}}\n  {{{{- end }}}}"
        manifest["spec"] = {expression(text): None, **manifest["spec"]}


def edit_job(manifest: Manifest, expression: Expressions) -> None:
    """Give the job a new name with each revision of the release, because a job cannot be changed."""
    edit_pod(manifest["spec"]["template"]["spec"], expression)
    name = manifest["metadata"]["name"]
    manifest["metadata"]["name"] = expression(f"{name}-{{{{ .Release.Revision }}}}")
    if name == "webhooks-declare":  # with a broker of your own, there are no nodes to wait for
        pod = manifest["spec"]["template"]["spec"]
        waiting = expression.dump({"initContainers": pod.pop("initContainers")})
        lines = "".join(f"      {line}\n" for line in waiting.splitlines())
        text = f"{{{{- if .Values.rabbitmq.enabled }}}}\n{lines}      {{{{- end }}}}"
        manifest["spec"]["template"]["spec"] = {expression(text): None, **pod}


def edit_autoscaler(manifest: Manifest, expression: Expressions) -> None:
    """Take the least and the largest number of web processes from the values."""
    name = manifest["metadata"]["name"]
    for key in ("min", "max"):
        manifest["spec"][f"{key}Replicas"] = expression(f"{{{{ .Values.replicas.{name}.web.{key} }}}}")


def edit_scaled_object(manifest: Manifest, expression: Expressions) -> None:
    """Take the least and the largest number of workers from the values."""
    value = f".Values.replicas.{service_of(manifest['metadata']['name'])}.worker"
    for key in ("min", "max"):
        manifest["spec"][f"{key}ReplicaCount"] = expression(f"{{{{ {value}.{key} }}}}")
    manifest["spec"]["fallback"]["replicas"] = expression(f"{{{{ {value}.min }}}}")


def edit_ingress(manifest: Manifest, expression: Expressions) -> None:
    """Let the values add a class and annotations."""
    annotations = "{{- with .Values.ingress.annotations }}\n  annotations: {{- toYaml . | nindent 4 }}\n  {{- end }}"
    name = "{{- with .Values.ingress.className }}\n  ingressClassName: {{ . }}\n  {{- end }}"
    manifest["metadata"] = {expression(annotations): None, **manifest["metadata"]}
    manifest["spec"] = {expression(name): None, **manifest["spec"]}


def edit_gateway(manifest: Manifest, expression: Expressions) -> None:
    """Take the class from the values."""
    manifest["spec"]["gatewayClassName"] = expression("{{ .Values.gateway.className }}")


def edit_certificate(manifest: Manifest, expression: Expressions) -> None:
    """Take the issuer from the values."""
    issuer = manifest["spec"]["issuerRef"]
    issuer["kind"] = expression("{{ .Values.certificate.issuer.kind }}")
    issuer["name"] = expression("{{ .Values.certificate.issuer.name }}")


def edit_external_secret(manifest: Manifest, expression: Expressions) -> None:
    """Take the store and the prefix of its entries from the values."""
    name = manifest["metadata"]["name"]
    manifest["spec"]["secretStoreRef"] = {
        "kind": expression("{{ .Values.secrets.store.kind }}"),
        "name": expression("{{ .Values.secrets.store.name }}"),
    }
    [source] = manifest["spec"]["dataFrom"]
    source["extract"]["key"] = expression(f"{{{{ .Values.secrets.prefix }}}}{name}")


def edit_monitor(manifest: Manifest, expression: Expressions) -> None:
    """Take the labels that Prometheus selects from the values."""
    manifest["metadata"]["labels"] = {expression("{{- toYaml .Values.monitoring.labels | nindent 4 }}"): None}


def edit_database_cluster(manifest: Manifest, expression: Expressions) -> None:
    """Size the cluster, and compute the limits of connections from the maxima of the scalers."""
    spec = manifest["spec"]
    spec["imageName"] = expression("{{ .Values.postgres.image }}")
    spec["storage"]["size"] = expression("{{ .Values.postgres.storage }}")
    limits = []
    for role in spec["managed"]["roles"]:
        replicas = f".Values.replicas.{role['name']}"
        processes = f"(add 2 {replicas}.web.max {replicas}.worker.max)"
        limits.append(f"(add (mul {PROCESS_CONNECTIONS} {processes}) {COMMANDS_CONNECTIONS})")
        role["connectionLimit"] = expression(f"{{{{ {limits[-1][1:-1]} }}}}")
    total = f'"{{{{ add {OTHER_CONNECTIONS} {" ".join(limits)} }}}}"'
    spec["postgresql"]["parameters"]["max_connections"] = expression(total)


def edit_object_store(manifest: Manifest, expression: Expressions) -> None:
    """Take the place and the retention of the backups from the values."""
    manifest["spec"]["retentionPolicy"] = expression("{{ .Values.postgres.backup.retention }}")
    for key in ("destinationPath", "endpointURL"):
        manifest["spec"]["configuration"][key] = expression(f"{{{{ .Values.postgres.backup.{key} }}}}")


def edit_broker(manifest: Manifest, expression: Expressions) -> None:
    """Take image and size from the values."""
    manifest["spec"]["image"] = expression("{{ .Values.rabbitmq.image }}")
    manifest["spec"]["persistence"]["storage"] = expression("{{ .Values.rabbitmq.storage }}")


EDITS: dict[str, Callable[[Manifest, Expressions], None]] = {
    "ConfigMap": edit_settings,
    "Deployment": edit_deployment,
    "Job": edit_job,
    "HorizontalPodAutoscaler": edit_autoscaler,
    "ScaledObject": edit_scaled_object,
    "Ingress": edit_ingress,
    "Gateway": edit_gateway,
    "Certificate": edit_certificate,
    "ExternalSecret": edit_external_secret,
    "PodMonitor": edit_monitor,
    "PrometheusRule": edit_monitor,
    "Cluster": edit_database_cluster,
    "ObjectStore": edit_object_store,
    "RabbitmqCluster": edit_broker,
}


def values(manifests: list[Manifest]) -> Manifest:
    """Return the default values: those of the overlay for production."""
    by_kind: dict[str, dict[str, Manifest]] = {}
    for each in manifests:
        by_kind.setdefault(each["kind"], {})[plain_name(each)] = each
    web, workers = by_kind["HorizontalPodAutoscaler"], by_kind["ScaledObject"]
    [broker], [database] = by_kind["RabbitmqCluster"].values(), by_kind["Cluster"].values()
    [store], [issuer] = by_kind["ObjectStore"].values(), by_kind["Certificate"].values()
    backup = store["spec"]["configuration"]
    return {
        "image": {"registry": "registry.invalid/clozit", "tag": "", "pullSecrets": []},
        "hosts": {name: host for host, name in HOSTS.items()},
        "settings": {service: settings(by_kind["ConfigMap"][service]) for service in SERVICES},
        "replicas": {service: replicas(service, web, workers) for service in SERVICES},
        "secrets": {
            "enabled": True,
            "store": {"kind": "ClusterSecretStore", "name": "vault"},
            "prefix": "clozit/",
        },
        "ingress": {"enabled": True, "className": "", "annotations": {}},
        "gateway": {"enabled": False, "className": "public"},
        "certificate": {"enabled": True, "issuer": dict(issuer["spec"]["issuerRef"])},
        "rabbitmq": {
            "enabled": True,
            "image": broker["spec"]["image"],
            "storage": broker["spec"]["persistence"]["storage"],
        },
        "postgres": {
            "enabled": True,
            "image": database["spec"]["imageName"],
            "storage": database["spec"]["storage"]["size"],
            "backup": {
                "destinationPath": backup["destinationPath"],
                "endpointURL": backup["endpointURL"],
                "retention": store["spec"]["retentionPolicy"],
            },
        },
        "keda": {"enabled": True},
        "monitoring": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
    }


def schema_of(value: Any, name: str = "") -> Manifest:
    """Return the JSON schema of the values, so that Helm refuses a misspelled one."""
    if name in (*SERVICES, "annotations", "labels") and (
        not value or all(isinstance(each, str) for each in value.values())
    ):
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if isinstance(value, dict):
        properties = {key: schema_of(each, key) for key, each in value.items()}
        # Helm adds `global` to the values of every chart.
        extra = {} if name else {"global": {"type": "object"}}
        return {"type": "object", "properties": {**properties, **extra}, "additionalProperties": False}
    types = {bool: "boolean", int: "integer", str: "string", list: "array"}
    return {"type": types[type(value)]}


def settings(manifest: Manifest) -> Manifest:
    """Return the settings of a ConfigMap, in which the hosts are those of the values."""
    data = dict(manifest["data"])
    for key, value in data.items():
        for host, name in HOSTS.items():
            value = value.replace(f"//{host}", f"//{{{{ .Values.hosts.{name} }}}}")  # noqa: PLW2901
        data[key] = value
    return data


def replicas(service: str, web: dict[str, Manifest], workers: dict[str, Manifest]) -> Manifest:
    """Return the least and the largest number of processes of a service."""
    scaler = web[service]["spec"]
    found = {"web": {"min": scaler["minReplicas"], "max": scaler["maxReplicas"]}}
    if worker := workers.get(f"{service}-worker"):
        spec = worker["spec"]
        found["worker"] = {"min": spec["minReplicaCount"], "max": spec["maxReplicaCount"]}
    return found


if __name__ == "__main__":
    main()
