"""PostgreSQL and RabbitMQ from Docker, through testcontainers."""

import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from docker.errors import DockerException  # type: ignore[import-untyped]
from docker.types import Ulimit  # type: ignore[import-untyped]
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from events.testing.ports import free_port
from events.testing.servers.local import POSTGRES_SETTINGS
from events.testing.servers.server import ServerStartError, postgres_answers, rabbitmq_answers
from events.testing.servers.watchdog import watch
from events.testing.waiting import wait_until

SOURCE = "Docker"
IMAGES = {"postgres": "postgres:17", "rabbitmq": "rabbitmq:4-management"}
STOP_TIMEOUT_S = 20  # then Docker kills the container
OPEN_FILES_LIMIT = 8_192  # Erlang's tables are as large as the limit, which an engine may set to 1,000,000,000

testcontainers_config.ryuk_disabled = True  # our watchdog does the same without another image


def missing(name: str) -> str | None:
    """Return why this server's container cannot start without a download: no Docker or no image. None if it can."""
    # The command, because Docker's Python client leaves a socket open when no engine answers.
    if shutil.which("docker") is None or not _docker_says("info"):
        return "no Docker engine answers"
    return None if _docker_says("image", "inspect", IMAGES[name]) else f"the Docker engine has no {IMAGES[name]}"


def _docker_says(*arguments: str) -> bool:
    return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0


class ContainerServer:
    """A `Server` that runs a container, on a host port that a restart keeps."""

    def __init__(
        self, container: DockerContainer, port: int, url: str, *, ready: Callable[[str], object], control: str = ""
    ) -> None:
        self.url = ""
        self._container, self._port, self._template = container.with_bind_ports(port, free_port()), port, url
        self._ready, self._control = ready, control
        self._watchdog = ExitStack()

    def start(self) -> None:
        """Create or restart the container and wait until it answers.

        Raises `ServerStartError` with the end of the container's log.
        """
        if self.url:
            self._docker.start()
        else:
            self._create()
        try:
            wait_until(lambda: self._ready(self.url), what=self._container.image)
        except TimeoutError as error:
            log = self._docker.logs(tail=30).decode(errors="replace")
            raise ServerStartError(f"{self._container.image} does not start: {log}") from error

    def _create(self) -> None:
        try:
            self._container.start()
        except DockerException as error:
            raise ServerStartError(f"Docker does not start {self._container.image}: {error}") from error
        self._watchdog.enter_context(watch("container", self._docker.id))
        host, port = self._container.get_container_host_ip(), self._container.get_exposed_port(self._port)
        self.url = self._template.format(host=host, port=port)

    def remove(self) -> None:
        """Remove the container with its data."""
        self._container.stop()
        self._watchdog.close()

    def stop(self) -> None:
        """Stop the container by its normal shutdown. Docker kills it after `STOP_TIMEOUT_S`."""
        self._docker.stop(timeout=STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Send SIGKILL and wait until the container has ended."""
        self.signal(signal.SIGKILL)
        self._docker.wait()

    def freeze(self) -> None:
        """Suspend all processes of the container."""
        self._docker.pause()

    def thaw(self) -> None:
        """Resume the container after `freeze`."""
        self._docker.unpause()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the container's first process only, but SIGKILL ends all processes.

        Use `freeze` to suspend all of them.
        """
        self._docker.kill(signal=number.name)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl in the container and return its output. Raises `CalledProcessError` if it fails."""
        command = [self._control, *arguments]
        code, (output, errors) = self._docker.exec_run(command, demux=True)
        if code:
            raise subprocess.CalledProcessError(code, command, (output or b"").decode(), (errors or b"").decode())
        return (output or b"").decode()

    @property
    def _docker(self) -> Any:
        return self._container.get_wrapped_container()


@contextmanager
def postgres() -> Iterator[ContainerServer]:
    """Run a private PostgreSQL; pull its image if the engine does not have it. Raises `ServerStartError`."""
    password = secrets.token_hex(8)
    container = (
        _container(IMAGES["postgres"])
        .with_envs(POSTGRES_USER="clozit", POSTGRES_PASSWORD=password)
        .with_command(["postgres", *POSTGRES_SETTINGS])
    )
    url = f"postgresql://clozit:{password}@{{host}}:{{port}}/postgres"
    yield from _run(ContainerServer(container, 5432, url, ready=postgres_answers))


@contextmanager
def rabbitmq() -> Iterator[ContainerServer]:
    """Run a private RabbitMQ; pull its image if the engine does not have it. Raises `ServerStartError`."""
    password = secrets.token_hex(8)
    container = _container(IMAGES["rabbitmq"]).with_envs(RABBITMQ_DEFAULT_USER="clozit", RABBITMQ_DEFAULT_PASS=password)
    url = f"amqp://clozit:{password}@{{host}}:{{port}}/%2F"
    yield from _run(ContainerServer(container, 5672, url, ready=rabbitmq_answers, control="rabbitmqctl"))


def _container(image: str) -> DockerContainer:
    open_files = Ulimit(name="nofile", soft=OPEN_FILES_LIMIT, hard=OPEN_FILES_LIMIT)
    try:
        return DockerContainer(image).with_kwargs(ulimits=[open_files])
    except DockerException as error:
        raise ServerStartError(f"no Docker engine answers: {error}") from error


def _run(server: ContainerServer) -> Iterator[ContainerServer]:
    try:
        server.start()
        yield server
    finally:
        server.remove()
