"""The choice of where a test run's servers come from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType

from events.testing.servers import local
from events.testing.servers.server import Server, ServerStartError

used: list[str] = []  # the source of each server, and why it is not Docker; for the run's summary


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL in TEST_DATABASE_URL, or that of a PostgreSQL started for this run. Raises `ServerStartError`.

    Tests may create databases in it.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        _note("postgres from TEST_DATABASE_URL")
        yield url
    else:
        with private_postgres() as server:
            yield server.url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Yield the URL in TEST_BROKER_URL, or that of a RabbitMQ started for this run. Raises `ServerStartError`."""
    if url := os.environ.get("TEST_BROKER_URL"):
        _note("rabbitmq from TEST_BROKER_URL")
        yield url
    else:
        with private_rabbitmq() as server:
            yield server.url


def private_postgres() -> AbstractContextManager[Server]:
    """Run a PostgreSQL that the test may stop, freeze or kill. Raises `ServerStartError`."""
    return _private("postgres")


def private_rabbitmq() -> AbstractContextManager[Server]:
    """Run a RabbitMQ that the test may stop, freeze or kill. Raises `ServerStartError`."""
    return _private("rabbitmq")


@contextmanager
def private_cluster() -> Iterator[Sequence[Server]]:
    """Run a cluster of three RabbitMQ nodes from the programs on this machine. Raises `ServerStartError`."""
    if os.environ.get("TEST_SERVERS") == "docker":
        raise ServerStartError("A cluster needs the programs on this machine. Set TEST_SERVERS to local or auto")
    with local.rabbitmq_cluster() as nodes:
        _note(f"rabbitmq cluster from {local.SOURCE}")
        yield nodes


@contextmanager
def _private(name: str) -> Iterator[Server]:
    providers, problems = _providers(name)
    for provider in providers:
        with ExitStack() as stack:
            try:
                server: Server = stack.enter_context(getattr(provider, name)())
            except ServerStartError as reason:
                problems.append(str(reason))
                continue
            _note("; ".join([f"{name} from {provider.SOURCE}", *problems]))
            yield server
            return
    raise ServerStartError("; ".join(problems))


def _providers(name: str) -> tuple[list[ModuleType], list[str]]:
    """Return the providers to try, in order, and why Docker is not the first of them."""
    match os.environ.get("TEST_SERVERS", "auto"):
        case "local":
            return [local], []
        case "docker":
            return [_containers()], []
        case "auto":
            containers = _containers()
            if (reason := containers.missing(name)) is None:
                return [containers, local], []
            return [local, containers], [reason]  # Docker last, since it may be able to pull the image
        case other:
            raise ServerStartError(f"TEST_SERVERS is {other!r}. Set it to auto, docker or local")


def _containers() -> ModuleType:
    from events.testing.servers import containers  # the import takes half a second, which TEST_SERVERS=local saves

    return containers


def _note(source: str) -> None:
    if source not in used:
        used.append(source)
