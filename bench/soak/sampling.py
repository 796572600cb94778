"""The samples: memory, threads, descriptors, sockets, connections, queues and unfinished rows, at an interval."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from events.messaging import topology

from bench.soak.background import in_background
from bench.soak.system import WITH_DATABASE, SoakSystem
from bench.soak.verdict import Series

SAMPLE_INTERVAL_S = 15.0
SCRAPE_INTERVAL_S = 10.0  # as deploy/prometheus/prometheus.yml, and as the containers' health checks
CONNECTION_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"  # the state of a connection in these tables
CHANNELS_INTERVAL = 8  # samples: counting channels uses much CPU
PUBLISHING = ("checkout", "orders", "inventory")

PROCESS_MEASURES = ("processes", "RSS", "PSS", "threads", "descriptors", "sockets", "metrics lines", "CPU")
UNFINISHED = ("waiting", "retrying", "failed")  # rows of an inbox


class ProcessEndedError(Exception):
    """A process that ended during the run; the message has the end of its log."""


@dataclass
class Samples:
    """The samples so far: values by (subject, measure), such as ("orders worker", "threads")."""

    series: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, at_s: float, values: Mapping[tuple[str, str], float]) -> None:
        """Add one sample, taken `at_s` seconds after the start."""
        for key, value in values.items():
            self.series.setdefault(key, []).append((at_s, value))

    def of(self, subject: str, measure: str) -> Series:
        """Return one series."""
        return self.series[subject, measure]

    def latest(self, measure: str) -> Mapping[str, float]:
        """Return the latest value by subject. It is empty before the first sample."""
        return {subject: series[-1][1] for (subject, each), series in self.series.items() if each == measure}

    def largest(self, subject: str, measure: str) -> float:
        """Return the largest value of a series."""
        return max(value for _, value in self.of(subject, measure))


class Sampler:
    """Takes samples of a system, and scrapes its processes as Prometheus and the probes do."""

    def __init__(self, system: SoakSystem, log: Path, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self.samples = Samples()
        self.failed_probes = 0
        self.failure: BaseException | None = None
        self._system, self._log, self._interval_s = system, log, interval_s
        self._began = time.monotonic()
        self._sample_count = 0
        self._metrics_lines: dict[str, int] = {}
        log.write_text("")
        self._server = system.server.connect()
        self._connections = {service: system.server.connect(service) for service in WITH_DATABASE}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Scrape and take samples until the block ends."""
        self.scrape()
        jobs = ((self.scrape, SCRAPE_INTERVAL_S), (self.sample, self._interval_s))
        with in_background(*(partial(self._repeat, *job) for job in jobs)):
            yield

    def _repeat(self, act: Callable[[], None], interval_s: float, stop: threading.Event) -> None:
        due = time.monotonic()
        try:
            while not stop.wait(max(0.0, due - time.monotonic())):
                act()
                due += interval_s
        except BaseException as error:  # noqa: BLE001 - the run raises it
            self.failure = error

    def close(self) -> None:
        """Close the connections."""
        for connection in (self._server, *self._connections.values()):
            connection.close()

    def scrape(self) -> None:
        """Read the metrics and the readiness of each process, and count the probes that fail."""
        for name, service in self._system.services.items():
            address = f"http://127.0.0.1:{service.health_port}"
            try:
                with httpx.Client(verify=False, trust_env=False, timeout=5) as client:  # noqa: S501 - it uses no TLS
                    self._metrics_lines[name] = client.get(f"{address}/metrics").text.count("\n")
                    self.failed_probes += client.get(f"{address}/readyz").status_code != 200
            except httpx.HTTPError:
                self.failed_probes += 1

    def sample(self) -> None:
        """Take one sample, and append it to the log."""
        at_s = time.monotonic() - self._began
        values = {**self._processes(), **self._postgresql(), **self._rabbitmq(), **self._unfinished()}
        self.samples.add(at_s, values)
        with self._log.open("a") as log:
            log.write(f"{at_s:.1f}\t" + "\t".join(f"{s}/{m}={v:g}" for (s, m), v in values.items()) + "\n")

    def _processes(self) -> Mapping[tuple[str, str], float]:
        connected = _connected_sockets()
        found: dict[tuple[str, str], float] = {}
        for name, service in self._system.services.items():
            pids = service.process.pids()
            try:
                descriptors = [descriptor for pid in pids for descriptor in _descriptors(pid)]
                memory = [_memory_mib(pid) for pid in pids]
                threads = sum(_thread_count(pid) for pid in pids)
            except (FileNotFoundError, ProcessLookupError) as error:
                raise ProcessEndedError(f"a process of {name} ended. Its log: {service.log_tail()}") from error
            values = (
                len(pids),
                sum(rss for rss, _ in memory),
                sum(pss for _, pss in memory),
                threads,
                len(descriptors),
                sum(descriptor in connected for descriptor in descriptors),
                self._metrics_lines[name],
                service.process.cpu_s(),
            )
            found |= {(name, measure): value for measure, value in zip(PROCESS_MEASURES, values, strict=True)}
        return found

    def _postgresql(self) -> Mapping[tuple[str, str], float]:
        """Count the connections of each role to its database. The sampler has another role."""
        query = "SELECT usename, count(*) FROM pg_stat_activity WHERE usename = datname GROUP BY usename"
        by_role = dict(self._server.execute(query).fetchall())
        return {("PostgreSQL", f"connections of {role}"): by_role.get(role, 0) for role in self._connections}

    def _rabbitmq(self) -> Mapping[tuple[str, str], float]:
        depths = self._system.broker.depths()
        dead = [topology.dead_letter_queue(name) for name in topology.BINDINGS]
        return {
            ("RabbitMQ", "connections"): _connections_to(urlsplit(self._system.broker.url).port) - 1,  # one is ours
            **self._channels(),
            **{("RabbitMQ", f"messages in {name}"): depths[name] for name in topology.BINDINGS},
            ("RabbitMQ", "dead letters"): sum(depths[name] for name in dead),
            ("RabbitMQ", "unrouted messages"): depths[topology.UNROUTED],
        }

    def _channels(self) -> Mapping[tuple[str, str], float]:
        """Count the channels at some samples. A busy machine may have no time for it: it is left out then."""
        self._sample_count += 1
        if self._sample_count % CHANNELS_INTERVAL:
            return {}
        try:
            return {("RabbitMQ", "channels"): self._system.broker.count_channels()}
        except subprocess.TimeoutExpired:
            return {}

    def _unfinished(self) -> Mapping[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        for service, connection in self._connections.items():
            query = "SELECT status, count(*) FROM inbox WHERE status <> 'done' GROUP BY status"
            by_status = dict(connection.execute(query).fetchall())
            found |= {(service, f"inbox {status}"): by_status.get(status, 0) for status in UNFINISHED}
            if service in PUBLISHING:
                query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
                [found[service, "outbox unpublished"]] = connection.execute(query).fetchone() or (0,)
        return found


def _descriptors(pid: int) -> Sequence[str]:
    """Return the targets of a process's open descriptors: `socket:[12345]`, `/dev/null`."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except FileNotFoundError:
            continue  # closed since the folder was listed
    return found


def _thread_count(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())


def _memory_mib(pid: int) -> tuple[float, float]:
    """Return RSS and PSS. PSS divides shared memory between the processes that share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return kib["Rss"] / 1024, kib["Pss"] / 1024


def _connected_sockets() -> set[str]:
    """Return the established TCP connections of this machine, as descriptors name them."""
    return {f"socket:[{row[9]}]" for row in _established()}


def _connections_to(port: int | None) -> int:
    """Return the number of established connections that a server on this port has accepted."""
    return sum(int(row[1].rpartition(":")[2], 16) == port for row in _established())


def _established() -> Sequence[Sequence[str]]:
    rows = [line.split() for table in CONNECTION_TABLES for line in table.read_text().splitlines()[1:]]
    return [row for row in rows if row[3] == ESTABLISHED]
