"""Prometheus, Alertmanager and postgres_exporter as processes, with the files of `deploy/` and divided times."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml
from events.testing.ports import free_port
from events.testing.servers.server import Server
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until

from demo.shop.mailbox import Mailbox
from tests.e2e.processes import ROOT
from tests.gameday.scaling import scale_routes, scale_rules

DEPLOY = ROOT / "deploy"
PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-postgres-exporter", "psql")  # as Debian names them
SCRAPE_S = 4  # a scrape takes 2 s while a database does not answer
START_TIMEOUT_S = 90.0
SUBJECT = re.compile(r"\[(firing|resolved)\] (PAGE|ticket) (\w+)")

Target = Mapping[str, str]  # labels of a process, with its address


def missing_programs() -> list[str]:
    """Return the programs that this machine does not have."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass(frozen=True)
class Monitoring:
    """The running monitoring, and the mailbox that gets its messages."""

    prometheus: httpx.Client
    mailbox: Mailbox

    def firing(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire, without the Watchdog."""
        return [
            alert["labels"]
            for alert in self._alerts()
            if alert["state"] == "firing" and alert["labels"]["alertname"] != "Watchdog"
        ]

    def coming_pages(self) -> list[str]:
        """Return the names of the pages that fire, or will when their wait is over."""
        return [alert["labels"]["alertname"] for alert in self._alerts() if alert["labels"]["severity"] == "page"]

    def _alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.prometheus.get("/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        return found

    def sent(self, since: int) -> list[tuple[str, str]]:
        """Return (kind, alert) of each message about a new alert, after the first `since` messages."""
        matches = [SUBJECT.search(mail.subject) for mail in self.mailbox.messages[since:]]
        return [(each[2], each[3]) for each in matches if each and each[1] == "firing"]

    def has_series(self, metric: str) -> bool:
        """Return True if Prometheus has a value of this metric."""
        answer = self.prometheus.get("/api/v1/query", params={"query": f"count({metric})"}).raise_for_status().json()
        return bool(answer["data"]["result"])

    def targets_down(self) -> list[str]:
        """Return the targets that do not answer."""
        found = self.prometheus.get("/api/v1/targets").raise_for_status().json()["data"]["activeTargets"]
        return [str(each["labels"]) for each in found if each["health"] != "up"]


@contextmanager
def running_monitoring(
    folder: Path, targets: Sequence[Target], metrics_port: int, postgres: Server, factor: float
) -> Iterator[Monitoring]:
    """Run everything until the block ends. `targets` are the services' processes, `metrics_port` is RabbitMQ's."""
    with ExitStack() as stack:
        mailbox = Mailbox()
        mailbox.start()
        stack.callback(mailbox.stop)
        exporter_port = _start_exporter(stack, folder, postgres)
        alertmanager_port = _start_alertmanager(stack, folder, mailbox.port, factor)
        port = free_port()
        rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": scale_rules(rules, factor)}))
        settings = _scrape_settings(targets, metrics_port, exporter_port, alertmanager_port)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        _start(stack, folder, [*command, f"--web.listen-address=127.0.0.1:{port}"])
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        _wait_until_answers(f"http://127.0.0.1:{port}/-/ready")
        yield Monitoring(client, mailbox)


def _scrape_settings(
    targets: Sequence[Target], metrics_port: int, exporter_port: int, alertmanager_port: int
) -> dict[str, Any]:
    def job(name: str, *static: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"job_name": name, "static_configs": list(static), **more}

    def address(port: int) -> dict[str, Any]:
        return {"targets": [f"127.0.0.1:{port}"]}

    composed = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    [queues] = [each for each in composed if each["job_name"] == "rabbitmq"]
    services = {
        kind: [
            {"targets": [each["address"]], "labels": {"service": each["service"]}}
            for each in targets
            if each["kind"] == kind
        ]
        for kind in ("web", "worker")
    }
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "scrape_timeout": f"{SCRAPE_S}s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [address(alertmanager_port)]}]},
        "scrape_configs": [
            *(job(kind, *static) for kind, static in services.items()),
            job("rabbitmq", address(metrics_port), metrics_path=queues["metrics_path"], params=queues["params"]),
            job("rabbitmq-node", address(metrics_port)),
            job("postgres", address(exporter_port)),
        ],
    }


def _start_exporter(stack: ExitStack, folder: Path, postgres: Server) -> int:
    """Make the role of deploy/postgres/monitoring.sh, start postgres_exporter with it, and return its port."""
    server, password = urlsplit(postgres.url), secrets.token_hex(8)
    (folder / "monitoring_password").write_text(password)
    script = (DEPLOY / "postgres" / "monitoring.sh").read_text()
    (folder / "postgres_password").write_text(str(server.password))
    script = script.replace("/run/secrets/postgres_password", str(folder / "postgres_password"))
    environment = {
        **os.environ,
        "PGHOST": str(server.hostname),
        "PGPORT": str(server.port),
        "PGUSER": str(server.username),
        "MONITORING_PASSWORD_FILE": str(folder / "monitoring_password"),
    }
    subprocess.run(["sh", "-c", script], env=environment, check=True)
    port = free_port()
    source = f"postgresql://monitoring:{password}@{server.hostname}:{server.port}/postgres?sslmode=disable"
    command = ["prometheus-postgres-exporter", f"--web.listen-address=127.0.0.1:{port}"]
    _start(stack, folder, command, DATA_SOURCE_NAME=source)
    return port


def _start_alertmanager(stack: ExitStack, folder: Path, smtp_port: int, factor: float) -> int:
    """Start Alertmanager by deploy/alertmanager/start.sh, and return its port."""
    own = folder / "alertmanager"
    own.mkdir()
    shutil.copy(DEPLOY / "alertmanager" / "start.sh", own)
    routes = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
    (own / "alertmanager.yml").write_text(scale_routes(routes, factor))
    work = folder / "alertmanager-work"
    work.mkdir()
    (folder / "smtp_url").write_text(f"smtp://127.0.0.1:{smtp_port}?starttls=never")
    port = free_port()
    command = ["sh", str(own / "start.sh"), f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    _start(
        stack,
        folder,
        [*command, f"--storage.path={work / 'data'}"],
        WORK_DIR=str(work),
        SMTP_URL_FILE=str(folder / "smtp_url"),
        MAIL_FROM="Clozit <alerts@clozit.example>",
        ALERT_EMAIL="oncall@clozit.example",
        ALERTMANAGER="prometheus-alertmanager",
    )
    _wait_until_answers(f"http://127.0.0.1:{port}/-/ready")
    return port


def _start(stack: ExitStack, folder: Path, command: Sequence[str], **environment: str) -> None:
    log = stack.enter_context((folder / f"{Path(command[0]).name}.log").open("ab"))
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,  # the watchdog ends a process group
    )
    stack.enter_context(watch("process", str(process.pid), str(folder)))

    def stop() -> None:
        process.terminate()
        process.wait(30)

    stack.callback(stop)


def _wait_until_answers(url: str) -> None:
    def answers() -> bool:
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, START_TIMEOUT_S, url)
