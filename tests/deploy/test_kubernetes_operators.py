"""The resources of Kubernetes operators: fields that their CRDs know, and settings that they read as we mean them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from events.database.engine import POOL_SIZE
from events.messaging import topology

from tools import operator_fields

from .manifests import KUBERNETES, Manifest, of_kind

CONSUMERS = set(topology.BINDINGS)
ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
EXTRA_CONNECTIONS = 2  # of a process, beside its pool: one listens, one notifies
COMMAND_CONNECTIONS = 10  # of a job, scheduled or not, which has one thread


@pytest.fixture(scope="module")
def resources(production: list[Manifest], recovery: list[Manifest], gateway: list[Manifest]) -> list[Manifest]:
    return [each for each in production + recovery + gateway if operator_fields.is_of_operator(each)]


@pytest.fixture(scope="module")
def cluster(production: list[Manifest]) -> dict[str, Any]:
    [found] = of_kind(production, "Cluster").values()
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.fixture(scope="module")
def broker(production: list[Manifest]) -> dict[str, Any]:
    [found] = of_kind(production, "RabbitmqCluster").values()
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.fixture(scope="module")
def broker_settings(broker: dict[str, Any]) -> dict[str, str]:
    return dict(re.findall(r"(\S+) = (\S+)", broker["rabbitmq"]["additionalConfig"]))


def test_fields_are_those_checked_with_the_crds(resources: list[Manifest]) -> None:
    """A new field or value needs `make crds`, which validates it with the operators' own schemas."""
    record = json.loads(operator_fields.RECORD.read_text())
    for resource in resources:
        kind = f"{resource['apiVersion']} {resource['kind']}"
        name = f"{resource['kind']} {resource['metadata']['name']}"
        assert kind in record, f"run `make crds`: {name}"
        unknown = list(operator_fields.unrecorded(resource["spec"], record[kind]["spec"], "spec"))
        assert unknown == [], f"run `make crds`: {name}"
    assert record.keys() == {f"{each['apiVersion']} {each['kind']}" for each in resources}


@pytest.mark.skipif("CRDS" not in os.environ, reason="CRDS names no folder with the operators' CRDs (see `make crds`)")
def test_resources_match_the_crds(resources: list[Manifest]) -> None:
    crds = operator_fields.read_crds(Path(os.environ["CRDS"]))

    assert [error for each in resources for error in operator_fields.invalid(each, crds)] == []
    assert operator_fields.recorded(resources, crds) == json.loads(operator_fields.RECORD.read_text())


def test_strict_schema_refuses_what_kubernetes_drops() -> None:
    schema = {"type": "object", "properties": {"size": {"type": "string"}, "free": {"type": "object"}}}
    crds = {("a/v1", "A"): ("a-1", {"type": "object", "properties": {"spec": operator_fields.strict(schema)}})}

    def errors(spec: Manifest) -> list[str]:
        manifest = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "one"}, "spec": spec}
        return list(operator_fields.invalid(manifest, crds))

    assert errors({"size": "1Gi", "free": {"any": 1}}) == []
    assert "sice" in errors({"sice": "1Gi"})[0]
    assert "not of type" in errors({"size": 1})[0]


def test_operators_and_versions_are_in_the_docs() -> None:
    """The docs name the version of each operator that the fields were checked with."""
    record = json.loads(operator_fields.RECORD.read_text())
    text = OPERATIONS.read_text()
    for operator in {entry["checked_with"] for entry in record.values()}:
        version = operator.rpartition("-")[2]
        assert re.search(rf"^\| .* \| {re.escape(version)} \|$", text, re.MULTILINE), operator


def test_broker_survives_the_loss_of_a_node(broker: dict[str, Any], broker_settings: dict[str, str]) -> None:
    assert broker["replicas"] == 3
    assert broker_settings["default_queue_type"] == "quorum"
    assert broker_settings["cluster_partition_handling"] == "autoheal"
    assert 10 <= int(broker_settings["net_ticktime"]) <= 30


def test_queues_with_too_few_members_get_the_missing_ones(
    broker: dict[str, Any], broker_settings: dict[str, str]
) -> None:
    prefix = "quorum_queue.continuous_membership_reconciliation"

    assert broker_settings[f"{prefix}.enabled"] == "true"
    assert int(broker_settings[f"{prefix}.target_group_size"]) == broker["replicas"]


def test_disk_limit_replaces_that_of_the_operator(broker_settings: dict[str, str]) -> None:
    """The operator sets disk_free_limit.absolute. Beside it, versions of RabbitMQ read a relative limit differently."""
    limits = {key: value for key, value in broker_settings.items() if key.startswith("disk_free_limit")}

    assert limits == {"disk_free_limit.absolute": "5GB"}


def test_default_user_of_the_broker_exists(production: list[Manifest], broker: dict[str, Any]) -> None:
    """With definitions, RabbitMQ creates no default user. The operator's secret must name one of the definitions."""
    name = broker["secretBackend"]["externalSecret"]["name"]
    secret = of_kind(production, "ExternalSecret")[name]["spec"]["target"]["template"]
    users = json.loads((KUBERNETES.parent / "rabbitmq" / "users.json").read_text())

    assert secret["mergePolicy"] == "Merge"
    assert re.findall(r"default_(\w+) = {{ \.(\w+) }}", secret["data"]["default_user.conf"]) == [
        ("user", "username"),
        ("pass", "password"),
    ]
    assert "admin" in users


def test_definitions_are_where_the_broker_loads_them(broker: dict[str, Any], broker_settings: dict[str, str]) -> None:
    pod = broker["override"]["statefulSet"]["spec"]["template"]["spec"]
    [mount] = pod["containers"][0]["volumeMounts"]

    assert broker_settings["load_definitions"] == f"{mount['mountPath']}/rabbitmq_definitions.json"
    assert pod["volumes"] == [{"name": mount["name"], "secret": {"secretName": "rabbitmq"}}]


def test_one_node_of_the_broker_stops_at_a_time(production: list[Manifest]) -> None:
    budget = of_kind(production, "PodDisruptionBudget")["rabbitmq"]["spec"]

    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "rabbitmq"}}}


def test_topology_is_declared_when_all_nodes_listen(production: list[Manifest], broker: dict[str, Any]) -> None:
    pod = of_kind(production, "Job")["webhooks-declare"]["spec"]["template"]["spec"]
    [waiting] = pod["initContainers"]
    [command] = waiting["args"]

    assert re.search(r"for node in ([\d ]+);", command)[1].split() == [str(n) for n in range(broker["replicas"])]  # type: ignore[index]
    assert "/dev/tcp/rabbitmq-server-$node.rabbitmq-nodes/5672" in command
    assert waiting["image"] == broker["image"]


def test_keda_asks_the_broker_in_this_namespace_as_monitor(production: list[Manifest]) -> None:
    """KEDA runs in a namespace of its own. Its user reads numbers, and has no right on exchanges and queues."""
    comment = (KUBERNETES / "components" / "keda" / "scaledobjects.yaml").read_text()
    [authentication] = of_kind(production, "TriggerAuthentication").values()
    [reference] = authentication["spec"]["secretTargetRef"]
    users = json.loads((KUBERNETES.parent / "rabbitmq" / "users.json").read_text())
    made = (KUBERNETES.parent / "make_secrets.py").read_text()

    assert reference["name"] in of_kind(production, "ExternalSecret")
    assert "http://monitoring:password@rabbitmq.clozit.svc:15672/%2F" in comment
    assert "http://monitoring:…@rabbitmq.clozit.svc:15672/%2F" in OPERATIONS.read_text()
    assert set(users["monitoring"].values()) == {"^$"}
    assert re.search(r'^TAGS = .*"monitoring": \["monitoring"\]', made, re.MULTILINE)


def test_commits_are_on_two_instances(cluster: dict[str, Any]) -> None:
    """One replica may be away. While both are, commits wait, and no replica without a commit is promoted."""
    synchronous = cluster["postgresql"]["synchronous"]

    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    assert cluster["instances"] - 1 > synchronous["number"]
    assert not cluster.keys() & {"minSyncReplicas", "maxSyncReplicas"}
    assert cluster["affinity"]["podAntiAffinityType"] == "required"


def test_database_logs_no_values(cluster: dict[str, Any], local: list[Manifest]) -> None:
    wanted = {
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
        "log_error_verbosity": "terse",
    }
    [server] = of_kind(local, "StatefulSet")["postgres"]["spec"]["template"]["spec"]["containers"]
    assert wanted.items() <= cluster["postgresql"]["parameters"].items()
    assert {f"{name}={value}" for name, value in wanted.items()} <= set(server["args"])


def test_own_labels_do_not_fight_with_those_of_the_operator(cluster: dict[str, Any]) -> None:
    assert cluster["inheritedMetadata"]["labels"] == {"clozit/role": "database"}


def test_role_may_use_only_its_own_database(cluster: dict[str, Any]) -> None:
    roles = ",".join(role["name"] for role in cluster["managed"]["roles"])

    assert set(roles.split(",")) == CONSUMERS
    assert cluster["postgresql"]["pg_hba"] == [
        f"host sameuser {roles} all scram-sha-256",
        f"host all {roles} all reject",
    ]


def test_passwords_have_the_type_that_the_operator_wants(production: list[Manifest], cluster: dict[str, Any]) -> None:
    entries = of_kind(production, "ExternalSecret")
    for role in cluster["managed"]["roles"]:
        template = entries[role["passwordSecret"]["name"]]["spec"]["target"]["template"]
        assert template == {
            "type": "kubernetes.io/basic-auth",
            "metadata": {"labels": {"cnpg.io/reload": "true"}},
        }, role["name"]


def test_every_process_gets_its_connections(production: list[Manifest], cluster: dict[str, Any]) -> None:
    """Sum the connections of all processes at the scalers' maximum, with one more of each during a rollout."""
    scaled = [
        (each["spec"]["scaleTargetRef"]["name"], each["spec"].get("maxReplicas") or each["spec"]["maxReplicaCount"])
        for each in of_kind(production, "HorizontalPodAutoscaler", "ScaledObject").values()
    ]
    deployments, scaled_names = of_kind(production, "Deployment"), {name for name, _replicas in scaled}
    jobs = of_kind(production, "Job").keys() | (deployments.keys() - scaled_names)
    surge = {name: deployments[name]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for name in scaled_names}
    limits = {role["name"]: role["connectionLimit"] for role in cluster["managed"]["roles"]}
    for service in CONSUMERS:
        processes = sum(replicas + surge[name] for name, replicas in scaled if name in (service, f"{service}-worker"))
        commands = sum(1 for name in jobs if name.startswith(f"{service}-"))
        needed = processes * (2 * POOL_SIZE + EXTRA_CONNECTIONS) + commands * COMMAND_CONNECTIONS
        assert processes == 10, service
        assert commands >= 1, service
        assert needed <= limits[service], f"{service} needs {needed} connections"
    assert sum(limits.values()) + 40 <= int(cluster["postgresql"]["parameters"]["max_connections"])


def test_database_is_backed_up_each_night(production: list[Manifest], cluster: dict[str, Any]) -> None:
    [store] = of_kind(production, "ObjectStore").values()
    [schedule] = of_kind(production, "ScheduledBackup").values()
    [plugin] = cluster["plugins"]

    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"]["barmanObjectName"] == store["metadata"]["name"]
    assert schedule["spec"]["method"] == "plugin"
    assert schedule["spec"]["pluginConfiguration"] == {"name": plugin["name"]}
    assert schedule["spec"]["cluster"] == {"name": "postgres"}
    assert re.fullmatch(r"0 \d+ \d+ \* \* \*", schedule["spec"]["schedule"]), "seconds come first"
    assert re.fullmatch(r"\d+d", store["spec"]["retentionPolicy"])
    credentials = store["spec"]["configuration"]["s3Credentials"].values()
    assert {each["name"] for each in credentials} <= of_kind(production, "ExternalSecret").keys()
    assert store["spec"]["configuration"]["endpointURL"].endswith(".invalid")


def test_recovery_reads_the_archive_and_writes_a_new_one(
    recovery: list[Manifest], production: list[Manifest], cluster: dict[str, Any]
) -> None:
    [recovered] = (each["spec"] for each in of_kind(recovery, "Cluster").values())
    [source] = recovered["externalClusters"]
    [archive] = (each["parameters"] for each in recovered["plugins"])
    [written] = (each["parameters"] for each in cluster["plugins"])

    assert recovered["bootstrap"] == {"recovery": {"source": source["name"]}}
    assert source["plugin"]["parameters"] == written
    assert archive["barmanObjectName"] == written["barmanObjectName"]
    assert archive["serverName"] != written["serverName"]
    changed = {key for key in recovered.keys() | cluster.keys() if recovered.get(key) != cluster.get(key)}
    assert changed == {"bootstrap", "externalClusters", "plugins"}
    assert [each for each in recovery if each["kind"] != "Cluster"] == [
        each for each in production if each["kind"] != "Cluster"
    ]


def test_backup_alerts_are_tested_and_have_a_section(production: list[Manifest]) -> None:
    folder = KUBERNETES / "components" / "monitoring"
    [group] = yaml.safe_load((folder / "backup-alerts.yaml").read_text())["spec"]["groups"]
    raised = re.findall(r'alertname="(\w+)"', (folder / "backup_alerts_test.yml").read_text())

    [endpoint] = of_kind(production, "PodMonitor")["postgres"]["spec"]["podMetricsEndpoints"]
    [job] = [each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"]

    assert sorted(set(raised)) == sorted(rule["alert"] for rule in group["rules"])
    assert all(f'{{job="{job}"' in rule["expr"] for rule in group["rules"])
    for rule in group["rules"]:
        assert rule["annotations"]["runbook_url"] == "docs/operations.md#backups-of-cloudnativepg"
        assert f"**{rule['alert']}**" in OPERATIONS.read_text()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_backup_alerts(tmp_path: Path) -> None:
    folder = KUBERNETES / "components" / "monitoring"
    rules = yaml.safe_load((folder / "backup-alerts.yaml").read_text())["spec"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    shutil.copy(folder / "backup_alerts_test.yml", tmp_path)
    command = ["promtool", "test", "rules", "backup_alerts_test.yml"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
