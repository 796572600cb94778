"""Real PostgreSQL and RabbitMQ for tests.

Taken, in this order, from TEST_DATABASE_URL / TEST_BROKER_URL; Docker, through testcontainers; server programs on
this machine, started privately on free ports in a temporary folder. `Unavailable` names what was tried.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from kombu import Connection

START_WITHIN = 60.0  # seconds; a cold RabbitMQ on a busy two-core machine takes up to thirty
POSTGRES_IMAGE = "postgres:17"
RABBITMQ_IMAGE = "rabbitmq:4-management"


class Unavailable(Exception):  # noqa: N818 - what the server is
    """No way to get this server here."""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL on which databases may be created."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
    elif _docker():
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
            yield container.get_connection_url()
    elif program := _program("postgres", "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin"):
        with _private_postgres(program.parent) as url:
            yield url
    else:
        raise Unavailable("PostgreSQL: no TEST_DATABASE_URL, no Docker, no postgres program")


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ that nobody else uses."""
    if url := os.environ.get("TEST_BROKER_URL"):
        yield url
    elif _docker():
        from testcontainers.rabbitmq import RabbitMqContainer

        with RabbitMqContainer(RABBITMQ_IMAGE) as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(container.port)
            yield f"amqp://{container.username}:{container.password}@{host}:{port}/%2F"
    elif program := _program("rabbitmq-server", "/usr/lib/rabbitmq/bin"):
        with private_rabbitmq(program) as url:
            yield url
    else:
        raise Unavailable("RabbitMQ: no TEST_BROKER_URL, no Docker, no rabbitmq-server program")


def _answers(url: str) -> bool:
    with psycopg.connect(url):
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], object], within: float = START_WITHIN, what: str = "the condition") -> None:
    """Look again every 20 ms until `condition` is true. Raises `TimeoutError` naming `what`, with the last error."""
    deadline, problem = time.monotonic() + within, None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:  # noqa: BLE001 - not there yet; named below when it never comes
            problem = error
        time.sleep(0.02)
    raise TimeoutError(f"{what} did not come within {within:g} s ({problem})")


def _docker() -> bool:
    """Whether a Docker engine answers and has, or can get, the images."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        return False
    have = subprocess.run([docker, "images", "-q", RABBITMQ_IMAGE], capture_output=True, check=False)
    return bool(have.stdout.strip()) or os.environ.get("TEST_PULL_IMAGES") == "1"


def _program(name: str, *folders: str) -> Path | None:
    """A server program: in its package's own folders first, since Debian's wrappers on PATH want their own user."""
    for folder in folders:
        found = sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}"))
        if found:
            return found[-1]
    on_path = shutil.which(name)
    return Path(on_path) if on_path else None


@contextmanager
def _folder(prefix: str, owner: str | None = None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if owner:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _private_postgres(programs: Path) -> Iterator[str]:
    user = _unprivileged_user()
    with _folder("clozit-postgres-", user) as folder:
        password, port = secrets.token_hex(8), free_port()
        (folder / "password").write_text(password)
        if user:
            shutil.chown(folder / "password", user)
        data = str(folder / "data")
        initdb = [str(programs / "initdb"), "-D", data, "-U", "clozit", "-A", "scram-sha-256", "-N"]
        subprocess.run([*initdb, f"--pwfile={folder / 'password'}"], check=True, user=user, capture_output=True)
        settings = ["fsync=off", "synchronous_commit=off", "max_connections=300", f"unix_socket_directories={folder}"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(programs / "postgres"), "-D", data, "-h", "127.0.0.1", "-p", str(port), *options]
        url = f"postgresql://clozit:{password}@127.0.0.1:{port}/postgres"
        with _process(command, folder / "log", user=user, stop=signal.SIGINT):
            wait_until(lambda: _answers(url), what="PostgreSQL")
            yield url


@contextmanager
def private_rabbitmq(program: Path) -> Iterator[str]:
    """A RabbitMQ of one's own, with an Erlang port mapper of its own, in a temporary folder."""
    with _folder("clozit-rabbitmq-") as folder:
        port = free_port()
        (folder / "plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.relative = 0.3\n"
        )
        environment = {
            **os.environ,
            "HOME": str(folder),  # the Erlang cookie is made there
            "RABBITMQ_NODENAME": f"clozit{port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        url = f"amqp://guest:guest@127.0.0.1:{port}/%2F"
        with _process([str(program)], folder / "log", environment=environment, stop=signal.SIGTERM):
            wait_until(lambda: Connection(url, connect_timeout=2).ensure_connection(max_retries=1).release() is None,
                       what="RabbitMQ")  # fmt: skip
            yield url


@contextmanager
def _process(
    command: list[str],
    log: Path,
    *,
    user: str | None = None,
    environment: dict[str, str] | None = None,
    stop: signal.Signals,
) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, user=user, env=environment, start_new_session=True, cwd="/"
        )
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"{command[0]} does not start: {log.read_text(errors='replace')[-2000:]}") from error
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _kill_group(process.pid)


def _kill_group(group: int) -> None:
    """What the server left behind: Erlang's port mapper and its shell helpers."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: then somebody else has to."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
