"""Who may reach whom on Kubernetes, decided by the network policies of the overlays."""

import pytest

from .manifests import Manifest, is_own, matches, of_kind, operator_pods, pods
from .network import Address, Peer, Pod, allowed, pod_in

PUBLIC = (Address("52.19.88.10"), Address("2a05:d018::10"))  # Stripe's are like these
INTERNAL = [
    Address(ip)
    for ip in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "fd00::1", "fe80::1")
]
PORTS = {"http": 8000, "health": 9100}


def policies(manifests: list[Manifest]) -> list[Manifest]:
    return list(of_kind(manifests, "NetworkPolicy").values())


def own_pods(manifests: list[Manifest]) -> dict[str, Pod]:
    return {
        name: Pod(labels, ports=PORTS)
        for name, labels, spec in pods(manifests)
        if is_own(spec["containers"][0]["image"])
    }


def servers(manifests: list[Manifest]) -> tuple[Pod, Pod]:
    """Return a pod of RabbitMQ and one of PostgreSQL, made by an operator or by a StatefulSet."""
    labels = [labels for _name, labels in operator_pods(manifests)] + [labels for _name, labels, _ in pods(manifests)]
    [broker] = [each for each in labels if each.get("app.kubernetes.io/name") == "rabbitmq"]
    [database] = [each for each in labels if each.get("clozit/role") == "database"]
    return Pod(broker), Pod(database)


@pytest.mark.parametrize("port", [5672, 5671])
def test_own_pods_reach_the_broker_with_and_without_tls(production: list[Manifest], port: int) -> None:
    broker, _database = servers(production)
    for name, pod in own_pods(production).items():
        assert allowed(policies(production), pod, broker, port), name


def test_own_pods_reach_broker_and_own_database(manifests: list[Manifest]) -> None:
    broker, database = servers(manifests)
    found = own_pods(manifests)
    for name, pod in found.items():
        has_database = pod.labels["app.kubernetes.io/name"] != "webhooks"
        assert allowed(policies(manifests), pod, broker, 5672), name
        assert allowed(policies(manifests), pod, database, 5432) == has_database, name
    assert len(found) == 16


def test_dns_is_reached_in_the_cluster_and_on_the_node(manifests: list[Manifest]) -> None:
    resolvers: list[Peer] = [pod_in("kube-system"), Address("169.254.20.10")]
    for name, pod in own_pods(manifests).items():
        for resolver in resolvers:
            assert allowed(policies(manifests), pod, resolver, 53, "UDP"), name
            assert allowed(policies(manifests), pod, resolver, 53, "TCP"), name
        assert not allowed(policies(manifests), pod, Address("8.8.8.8"), 53, "UDP"), name


def test_only_what_calls_stripe_reaches_the_internet(manifests: list[Manifest]) -> None:
    """Check IPv4 and IPv6. No one reaches private networks or a cloud's metadata by these policies."""
    for name, pod in own_pods(manifests).items():
        service, component = (pod.labels[f"app.kubernetes.io/{key}"] for key in ("name", "component"))
        calls = service in ("checkout", "orders") or (service, component) == ("webhooks", "scheduled")
        for address in PUBLIC:
            assert allowed(policies(manifests), pod, address, 443) == calls, (name, address)
        for address in INTERNAL:
            assert not allowed(policies(manifests), pod, address, 443), (name, address)


def test_traces_reach_the_collector(manifests: list[Manifest]) -> None:
    for name, pod in own_pods(manifests).items():
        assert allowed(policies(manifests), pod, pod_in("monitoring"), 4317), name
        assert allowed(policies(manifests), pod, pod_in("monitoring"), 4318), name


def test_mail_leaves_only_from_the_notifications_worker(manifests: list[Manifest]) -> None:
    for name, pod in own_pods(manifests).items():
        sends = name == "Deployment notifications-worker"
        assert allowed(policies(manifests), pod, Address("192.0.2.25"), 587) == sends, name


@pytest.mark.parametrize(
    ("namespace", "server", "port"),
    [
        ("keda", "broker", 15672),
        ("rabbitmq-system", "broker", 15672),
        ("monitoring", "broker", 15692),
        ("monitoring", "database", 9187),
        ("cnpg-system", "database", 8000),
        ("cnpg-system", "database", 5432),
    ],
)
def test_operators_reach_what_they_manage(production: list[Manifest], namespace: str, server: str, port: int) -> None:
    target = servers(production)[server == "database"]

    assert allowed(policies(production), pod_in(namespace), target, port)
    assert not allowed(policies(production), pod_in("another"), target, port)


def test_database_archives_over_both_ip_versions(production: list[Manifest]) -> None:
    _broker, database = servers(production)
    for address in PUBLIC:
        assert allowed(policies(production), database, address, 443), address


def test_metrics_of_every_own_process_are_reached(manifests: list[Manifest]) -> None:
    for name, pod in own_pods(manifests).items():
        assert allowed(policies(manifests), pod_in("monitoring"), pod, 9100), name


def test_public_entry_reaches_the_service_of_every_route(manifests: list[Manifest]) -> None:
    """The namespace of the ingress controller has a label, and no other one reaches the web processes."""
    services = {name: each["spec"]["selector"] for name, each in of_kind(manifests, "Service").items()}
    [ingress] = of_kind(manifests, "Ingress").values()
    backends = {
        path["backend"]["service"]["name"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]
    }
    assert backends == {"checkout", "inventory", "orders", "notifications", "webhooks"}
    for backend in backends:
        [pod] = [pod for pod in own_pods(manifests).values() if matches({"matchLabels": services[backend]}, pod.labels)]
        assert allowed(policies(manifests), pod_in("any", **{"clozit/public-entry": "true"}), pod, 8000), backend
        assert not allowed(policies(manifests), pod_in("any"), pod, 8000), backend


def test_gateway_in_this_namespace_reaches_the_services(production: list[Manifest], gateway: list[Manifest]) -> None:
    rules = policies(production + gateway)
    entry = Pod({"gateway.networking.k8s.io/gateway-name": "shop"})
    web = [pod for pod in own_pods(production).values() if pod.labels["app.kubernetes.io/component"] == "web"]
    for pod in web:
        assert allowed(rules, entry, pod, 8000)
        assert not allowed(policies(production), entry, pod, 8000)
    assert allowed(rules, PUBLIC[0], entry, 8443)
    assert len(web) == 5
