"""Real PostgreSQL and RabbitMQ for tests.

Taken, in this order, from TEST_DATABASE_URL / TEST_BROKER_URL; Docker, through testcontainers; server programs on
this machine, started privately on free ports in a temporary folder. Raises `Unavailable` where there is none.
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
        from testcontainers.community.postgres import PostgresContainer

        with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
            yield container.get_connection_url()
    else:
        with private_postgres() as server:
            yield server.url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ that nobody else uses."""
    if url := os.environ.get("TEST_BROKER_URL"):
        yield url
    elif _docker():
        from testcontainers.community.rabbitmq import RabbitMqContainer

        with RabbitMqContainer(RABBITMQ_IMAGE) as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(container.port)
            yield f"amqp://{container.username}:{container.password}@{host}:{port}/%2F"
    else:
        with private_rabbitmq() as server:
            yield server.url


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


class Server:
    """A server program of one's own: started, and stopped, frozen or killed as a test wants."""

    def __init__(
        self,
        url: str,
        command: list[str],
        log: Path,
        *,
        ready: Callable[[], object],
        stop: signal.Signals,
        user: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.url = url
        self._command, self._log, self._ready, self._stop = command, log, ready, stop
        self._user, self._environment = user, environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers. Raises `Unavailable` with the end of its log."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=output,
                user=self._user,
                env=self._environment,
                start_new_session=True,
                cwd="/",
            )
        try:
            wait_until(self._ready, what=self._command[0])
        except TimeoutError as error:
            log = self._log.read_text(errors="replace")[-2000:]
            raise Unavailable(f"{self._command[0]} does not start: {log}") from error

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; `start` brings it back with what it had on disk."""
        self.signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(self._stop)
        self._wait()

    def signal(self, number: signal.Signals) -> None:
        """To the server and all its helpers."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def _wait(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _kill_group(self._process.pid)
        self._process = None


@contextmanager
def private_postgres() -> Iterator[Server]:
    """A PostgreSQL of one's own in a temporary folder, from the programs on this machine; raises `Unavailable`."""
    programs = _program("postgres", "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
    if programs is None:
        raise Unavailable("no postgres program on this machine")
    user = _unprivileged_user()
    with _folder("clozit-postgres-", user) as folder:
        password, port = secrets.token_hex(8), free_port()
        (folder / "password").write_text(password)
        if user:
            shutil.chown(folder / "password", user)
        data = str(folder / "data")
        initdb = [str(programs.parent / "initdb"), "-D", data, "-U", "clozit", "-A", "scram-sha-256", "-N"]
        subprocess.run([*initdb, f"--pwfile={folder / 'password'}"], check=True, user=user, capture_output=True)
        # Not synchronous_commit=off: a killed server would forget what it had confirmed, and blame the services.
        settings = ["fsync=off", "max_connections=300", f"unix_socket_directories={folder}"]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(programs), "-D", data, "-h", "127.0.0.1", "-p", str(port), *options]
        url = f"postgresql://clozit:{password}@127.0.0.1:{port}/postgres"
        yield from _run(
            Server(url, command, folder / "log", ready=lambda: _answers(url), stop=signal.SIGINT, user=user)
        )


@contextmanager
def private_rabbitmq() -> Iterator[Server]:
    """A RabbitMQ of one's own, with an Erlang port mapper of its own, in a temporary folder; raises `Unavailable`."""
    program = _program("rabbitmq-server", "/usr/lib/rabbitmq/bin")
    if program is None:
        raise Unavailable("no rabbitmq-server program on this machine")
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
        yield from _run(
            Server(
                url,
                [str(program)],
                folder / "log",
                ready=lambda: _accepts(url),
                stop=signal.SIGTERM,
                environment=environment,
            )
        )


def _run(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _accepts(url: str) -> bool:
    with Connection(url, connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1)
    return True


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
