"""Network policies, read as Kubernetes does: which traffic they allow."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .manifests import Manifest, matches

NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """A pod, by its labels and those of its namespace. Policies are those of the namespace `clozit`."""

    labels: Manifest
    namespace: Manifest = field(default_factory=lambda: {NAME_LABEL: "clozit"})
    ports: Manifest = field(default_factory=lambda: {"http": 8000})  # named ports


@dataclass(frozen=True)
class Address:
    """An address outside of the cluster or on a node."""

    ip: str


Peer = Pod | Address


def pod_in(namespace: str, **labels: str) -> Pod:
    """Return a pod of another namespace, which has that name and these labels."""
    return Pod({}, {NAME_LABEL: namespace, **labels})


def allowed(policies: Iterable[Manifest], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Return True if the policies of both ends allow the connection."""
    specs = [policy["spec"] for policy in policies]
    leaves = not isinstance(source, Pod) or _passes(specs, "Egress", source, target, port, protocol)
    enters = not isinstance(target, Pod) or _passes(specs, "Ingress", target, source, port, protocol)
    return leaves and enters


def _passes(specs: list[Manifest], direction: str, pod: Pod, peer: Peer, port: int, protocol: str) -> bool:
    if pod.namespace[NAME_LABEL] != "clozit":
        return True
    applying = [spec for spec in specs if direction in spec["policyTypes"] and matches(spec["podSelector"], pod.labels)]
    rules = [rule for spec in applying for rule in spec.get(direction.lower(), [])]
    owner = pod if direction == "Ingress" else peer
    return not applying or any(
        _has_peer(rule.get("from" if direction == "Ingress" else "to"), peer)
        and _has_port(rule.get("ports"), owner, port, protocol)
        for rule in rules
    )


def _has_peer(entries: list[Manifest] | None, peer: Peer) -> bool:
    return entries is None or any(_is_peer(entry, peer) for entry in entries)


def _is_peer(entry: Manifest, peer: Peer) -> bool:
    if "ipBlock" in entry:
        return isinstance(peer, Address) and _is_in(peer.ip, entry["ipBlock"])
    if not isinstance(peer, Pod):
        return False
    namespace = entry.get("namespaceSelector", {"matchLabels": {NAME_LABEL: "clozit"}})
    return matches(namespace, peer.namespace) and matches(entry.get("podSelector", {}), peer.labels)


def _is_in(ip: str, block: Manifest) -> bool:
    address = ipaddress.ip_address(ip)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(part) for part in block.get("except", [])
    )


def _has_port(entries: list[dict[str, Any]] | None, owner: Peer, port: int, protocol: str) -> bool:
    named = owner.ports if isinstance(owner, Pod) else {}
    return entries is None or any(
        entry.get("protocol", "TCP") == protocol and port in (entry["port"], named.get(entry["port"]))
        for entry in entries
    )
