"""PostgreSQL and RabbitMQ from the programs on this machine, on free ports, each in a separate temporary folder."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from events.testing.ports import free_port
from events.testing.servers.process import ProcessServer
from events.testing.servers.server import ServerStartError, postgres_answers, rabbitmq_answers

NET_TICK_S = 10  # nodes drop a frozen node after this; with RabbitMQ's 60 the cluster's publishers wait as long
SOURCE = "programs on this machine"
POSTGRES_PROGRAMS = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
RABBITMQ_PROGRAMS = ("/usr/lib/rabbitmq/bin",)
# synchronous_commit stays on. Otherwise a killed server would lose commits, and tests would blame the services.
POSTGRES_SETTINGS = ("-c", "fsync=off", "-c", "max_connections=300")


@contextmanager
def postgres(settings: Sequence[str] = POSTGRES_SETTINGS) -> Iterator[ProcessServer]:
    """Run a private PostgreSQL with these options on its command line. Raises `ServerStartError`."""
    program = _program("postgres", POSTGRES_PROGRAMS)
    user = _unprivileged_user()
    with _folder("clozit-postgres-", user) as folder:
        password, port = secrets.token_hex(8), free_port()
        (folder / "password").write_text(password)
        if user:
            shutil.chown(folder / "password", user)
        data = str(folder / "data")
        initdb = [str(program.parent / "initdb"), "-D", data, "-U", "clozit", "-A", "scram-sha-256", "-N"]
        subprocess.run([*initdb, f"--pwfile={folder / 'password'}"], check=True, user=user, capture_output=True)
        command = [str(program), "-D", data, "-h", "127.0.0.1", "-p", str(port), *settings]
        command += ["-c", f"unix_socket_directories={folder}"]
        url = f"postgresql://clozit:{password}@127.0.0.1:{port}/postgres"
        yield from _run(
            ProcessServer(url, command, folder, ready=lambda: postgres_answers(url), stop=signal.SIGINT, user=user)
        )


@contextmanager
def rabbitmq(metrics_port: int = 0) -> Iterator[ProcessServer]:
    """Run a private RabbitMQ. With a `metrics_port` it has metrics for Prometheus. Raises `ServerStartError`."""
    settings = [f"prometheus.tcp.port = {metrics_port}", "prometheus.tcp.ip = 127.0.0.1"] if metrics_port else []
    plugins = ["rabbitmq_prometheus"] if metrics_port else []
    with port_mapper() as environment, _node(environment, free_port(), settings, plugins) as server:
        yield server


@contextmanager
def rabbitmq_cluster(size: int = 3) -> Iterator[list[ProcessServer]]:
    """Run a private RabbitMQ cluster of `size` nodes, and yield the nodes. Raises `ServerStartError`."""
    ports = [free_port() for _ in range(size)]
    settings = [
        "cluster_formation.peer_discovery_backend = classic_config",
        # A node that thaws with open connections still acts as the leader. With pause_minority its consumers would wait
        # indefinitely. Autoheal restarts the node; quorum queues lose no message by that.
        "cluster_partition_handling = autoheal",
        f"net_ticktime = {NET_TICK_S}",
        *(f"cluster_formation.classic_config.nodes.{number} = {_name(port)}" for number, port in enumerate(ports, 1)),
    ]
    with port_mapper() as environment, ExitStack() as stack:
        with ThreadPoolExecutor(size) as together:
            contexts = [_node(environment, port, settings) for port in ports]
            nodes = list(together.map(stack.enter_context, contexts))
        nodes[0].ctl("await_online_nodes", str(size))
        yield nodes


@contextmanager
def _node(
    environment: Mapping[str, str], port: int, settings: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Iterator[ProcessServer]:
    """Run one node with the Erlang cookie and port mapper of `environment`. Raises `ServerStartError`."""
    program = _program("rabbitmq-server", RABBITMQ_PROGRAMS)
    with _folder("clozit-rabbitmq-") as folder:
        (folder / "plugins").write_text(f"[{','.join(plugins)}].")
        own = [f"listeners.tcp.1 = 127.0.0.1:{port}", "vm_memory_high_watermark.relative = 0.3"]
        (folder / "rabbitmq.conf").write_text("\n".join([*own, *settings, ""]))
        url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        yield from _run(
            ProcessServer(
                url,
                [str(program)],
                folder,
                ready=lambda: rabbitmq_answers(url),
                stop=signal.SIGTERM,
                environment={
                    **environment,
                    "RABBITMQ_NODENAME": _name(port),
                    "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
                    "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
                    "RABBITMQ_MNESIA_BASE": str(folder / "data"),
                    "RABBITMQ_LOG_BASE": str(folder / "logs"),
                    "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
                    "RABBITMQ_DIST_PORT": str(free_port()),
                },
                control=str(program.parent / "rabbitmqctl"),
            )
        )


@contextmanager
def port_mapper() -> Iterator[Mapping[str, str]]:
    """Run a private Erlang port mapper and yield the environment with its port and a new cookie.

    Only nodes with this environment find each other. Erlang's own mapper would be a daemon that outlives its nodes.
    """
    with _folder("clozit-erlang-") as folder:
        port, cookie = free_port(), folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        environment = {
            **os.environ,
            "HOME": str(folder),  # where Erlang looks for its cookie
            "ERL_EPMD_PORT": str(port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        command = [str(_program("epmd", ("/usr/lib/erlang/erts-*/bin",)))]
        for _ in _run(
            ProcessServer(
                "", command, folder, ready=lambda: _listens(port), stop=signal.SIGTERM, environment=environment
            )
        ):
            yield environment


def _name(port: int) -> str:
    return f"clozit{port}@localhost"


def _run(server: ProcessServer) -> Iterator[ProcessServer]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def _program(name: str, folders: tuple[str, ...]) -> Path:
    """Return the path of a server program. Raises `ServerStartError` if this machine has none.

    The package's folders come first, since Debian's wrappers on PATH run only as their own user.
    """
    for folder in folders:
        found = sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}"))
        if found:
            return found[-1]
    on_path = shutil.which(name)
    if on_path is None:
        raise ServerStartError(f"no {name} program on this machine")
    return Path(on_path)


@contextmanager
def _folder(prefix: str, owner: str | None = None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if owner:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_user() -> str | None:
    """Return the user for PostgreSQL, because PostgreSQL refuses to run as root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
