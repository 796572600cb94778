"""Operation on Kubernetes: scaling, jobs, routes, monitoring and network policies."""

import re
from pathlib import Path

import yaml
from events.messaging import topology

from tools import kubernetes_alerts

from .manifests import KUBERNETES, Manifest, is_own, matches, of_kind, pods

SERVICES = {"checkout", "webhooks", "orders", "inventory", "notifications"}
CONSUMERS = set(topology.BINDINGS)
SCALED = SERVICES | {f"{name}-worker" for name in CONSUMERS}
SCHEDULED = {"webhooks-backfill", "orders-reconcile"}
DEPLOY = KUBERNETES.parent


def own_deployments(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return our own Deployments by name."""
    found = of_kind(manifests, "Deployment")
    return {name: each for name, each in found.items() if is_own(str(each["spec"]["template"]))}


def pod_labels(deployment: Manifest) -> Manifest:
    labels: Manifest = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def test_every_process_has_a_deployment(manifests: list[Manifest]) -> None:
    assert own_deployments(manifests).keys() == SCALED | SCHEDULED


def test_namespace_admits_only_restricted_pods(manifests: list[Manifest]) -> None:
    [namespace] = of_kind(manifests, "Namespace").values()

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_web_scales_with_cpu_and_workers_with_their_queue(production: list[Manifest]) -> None:
    scaled = of_kind(production, "HorizontalPodAutoscaler")
    assert {each["spec"]["scaleTargetRef"]["name"] for each in scaled.values()} == SERVICES
    assert all(each["spec"]["minReplicas"] >= 2 for each in scaled.values())
    queued = of_kind(production, "ScaledObject").values()
    assert {each["spec"]["scaleTargetRef"]["name"] for each in queued} == {f"{name}-worker" for name in CONSUMERS}
    for each in queued:
        [trigger] = each["spec"]["triggers"]
        assert (trigger["type"], trigger["metadata"]["mode"]) == ("rabbitmq", "QueueLength")
        assert f"{trigger['metadata']['queueName']}-worker" == each["spec"]["scaleTargetRef"]["name"]
    fixed = {name for name, each in own_deployments(production).items() if "replicas" in each["spec"]}
    assert fixed == SCHEDULED, "the scalers set it"


def test_replicas_are_spread_and_stopped_one_by_one(manifests: list[Manifest]) -> None:
    budgets = [each["spec"] for each in of_kind(manifests, "PodDisruptionBudget").values()]
    for name, deployment in own_deployments(manifests).items():
        [spread] = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname", name
        assert matches(spread["labelSelector"], pod_labels(deployment)), name
        if name in SCALED:
            assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, name
            [budget] = [each for each in budgets if matches(each["selector"], pod_labels(deployment))]
            assert budget["maxUnavailable"] == 1, name


def test_jobs_migrate_every_database_and_declare_the_topology(manifests: list[Manifest]) -> None:
    jobs = of_kind(manifests, "Job")
    commands = {name: each["spec"]["template"]["spec"]["containers"][0].get("args") for name, each in jobs.items()}

    assert {name for name, command in commands.items() if command == ["migrate"]} == {f"{c}-migrate" for c in CONSUMERS}
    assert commands["webhooks-declare"] == ["declare-topology"]


def test_each_job_repeats_once_as_in_the_composed_system(manifests: list[Manifest]) -> None:
    composed = yaml.safe_load((KUBERNETES.parents[1] / "docker-compose.yml").read_text())["services"]
    for name in SCHEDULED:
        spec = own_deployments(manifests)[name]["spec"]
        command = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", each) for each in composed[name]["command"]]
        assert spec["template"]["spec"]["containers"][0]["args"] == command, name
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"}), name


def test_ingress_has_only_public_routes(manifests: list[Manifest]) -> None:
    """Compare with the public port of the composed system. No path below a route may be an operator's."""
    routes = {
        path["path"].rstrip("/"): path["pathType"]
        for ingress in of_kind(manifests, "Ingress").values()
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    proxy = (DEPLOY / "proxy" / "nginx.conf").read_text().partition("listen 8080;")[2]
    public = {path.rstrip("/") for path in re.findall(r"location (?:= )?(/\S+) ", proxy)} - {"/healthz"}
    assert routes.keys() == public
    assert routes["/availability"] == routes["/products"] == "Exact"


def test_monitor_sets_the_labels_of_the_composed_system(production: list[Manifest]) -> None:
    """Compare job and service of every process with those that Prometheus sets in the composed system."""
    monitor = of_kind(production, "PodMonitor")["services"]["spec"]
    [endpoint] = monitor["podMetricsEndpoints"]
    source = {each["targetLabel"]: each["sourceLabels"] for each in endpoint["relabelings"]}
    scraped = {
        (pod_labels(each)["app.kubernetes.io/component"], name, pod_labels(each)["app.kubernetes.io/name"])
        for name, each in own_deployments(production).items()
        if matches(monitor["selector"], pod_labels(each))
    }
    composed = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]

    assert endpoint["port"] == "health"
    assert source == {
        "job": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
        "service": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
    }
    assert scraped == {
        (scraping["job_name"], name, name.partition("-")[0])
        for scraping in composed
        for name in scraping.get("dns_sd_configs", [{"names": []}])[0]["names"]
    }
    assert {name for _job, name, _service in scraped} == SCALED | SCHEDULED


def test_queue_metrics_match_the_composed_system(production: list[Manifest]) -> None:
    [endpoint] = of_kind(production, "PodMonitor")["rabbitmq"]["spec"]["podMetricsEndpoints"]
    composed = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    [job] = [each for each in composed if each["job_name"] == "rabbitmq"]

    assert (endpoint["path"], endpoint["params"]) == (job["metrics_path"], job["params"])


def test_alerts_and_dashboard_match_the_composed_system(production: list[Manifest]) -> None:
    written = KUBERNETES / "components" / "monitoring" / "alerts.yaml"
    assert written.read_text() == kubernetes_alerts.resource(), "run `make docs`"
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    assert of_kind(production, "PrometheusRule")["clozit"]["spec"] == alerts
    dashboard: Path = DEPLOY / "grafana" / "dashboards" / "clozit.json"
    assert of_kind(production, "ConfigMap")["clozit-dashboard"]["data"] == {"clozit.json": dashboard.read_text()}


def test_ingress_belongs_to_no_controller(manifests: list[Manifest]) -> None:
    for name, ingress in of_kind(manifests, "Ingress").items():
        assert "annotations" not in ingress["metadata"], name
        assert "ingressClassName" not in ingress["spec"], name


def test_gateway_has_the_routes_of_the_ingress(production: list[Manifest], gateway: list[Manifest]) -> None:
    kinds = {"Prefix": "PathPrefix", "Exact": "Exact"}
    routes = {
        (kinds[path["pathType"]], path["path"], path["backend"]["service"]["name"])
        for ingress in of_kind(production, "Ingress").values()
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    route = of_kind(gateway, "HTTPRoute")["shop"]["spec"]
    ports = {name: each["spec"]["ports"][0]["port"] for name, each in of_kind(production, "Service").items()}

    assert routes == {
        (match["path"]["type"], match["path"]["value"], backend["name"])
        for rule in route["rules"]
        for match in rule["matches"]
        for backend in rule["backendRefs"]
    }
    assert all(backend["port"] == ports[backend["name"]] for rule in route["rules"] for backend in rule["backendRefs"])


def test_certificate_is_that_of_ingress_and_gateway(production: list[Manifest], gateway: list[Manifest]) -> None:
    [certificate] = of_kind(production, "Certificate").values()
    [ingress] = of_kind(production, "Ingress").values()
    [entry] = of_kind(gateway, "Gateway").values()
    [https] = [each for each in entry["spec"]["listeners"] if each["protocol"] == "HTTPS"]
    secret, hosts = certificate["spec"]["secretName"], certificate["spec"]["dnsNames"]

    assert ingress["spec"]["tls"] == [{"hosts": hosts, "secretName": secret}]
    assert https["tls"]["certificateRefs"] == [{"name": secret}]
    assert {each["hostname"] for each in entry["spec"]["listeners"]} == set(hosts)


def test_prometheus_of_the_stack_selects_monitors_and_rules(production: list[Manifest]) -> None:
    selected = of_kind(production, "PodMonitor", "PrometheusRule")

    assert len(selected) >= 5
    assert {each["metadata"]["labels"].get("release") for each in selected.values()} == {"kube-prometheus-stack"}


def test_every_pod_has_a_policy_and_no_open_ingress(manifests: list[Manifest]) -> None:
    """Check the policies beside the default denial: each pod has one, and each ingress names its sources."""
    policies = [each["spec"] for each in of_kind(manifests, "NetworkPolicy").values() if each["spec"]["podSelector"]]
    for name, labels, _spec in pods(manifests):
        applying = [policy for policy in policies if matches(policy["podSelector"], labels)]
        assert applying, f"{name} has no policy except the default denial"
    assert not [policy for policy in policies for rule in policy.get("ingress", []) if not rule.get("from")]
