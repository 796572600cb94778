"""Where a test run's servers come from."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType

from events.testing.servers import local
from events.testing.servers.server import Server, Unavailable

used: list[str] = []  # which server came from where in this run, and why not from Docker: for the run's summary


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL on which databases may be created."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        _note("postgres from TEST_DATABASE_URL")
        yield url
    else:
        with private_postgres() as server:
            yield server.url


@contextmanager
def rabbitmq() -> Iterator[str]:
    """The URL of a RabbitMQ that nobody else uses."""
    if url := os.environ.get("TEST_BROKER_URL"):
        _note("rabbitmq from TEST_BROKER_URL")
        yield url
    else:
        with private_rabbitmq() as server:
            yield server.url


def private_postgres() -> AbstractContextManager[Server]:
    """A PostgreSQL of one's own, to be stopped, frozen or killed as a test wants; raises `Unavailable`."""
    return _private("postgres")


def private_rabbitmq() -> AbstractContextManager[Server]:
    """A RabbitMQ of one's own, to be stopped, frozen or killed as a test wants; raises `Unavailable`."""
    return _private("rabbitmq")


@contextmanager
def private_cluster() -> Iterator[Sequence[Server]]:
    """Three RabbitMQ nodes of one's own, joined; of the programs on this machine only. Raises `Unavailable`."""
    if os.environ.get("TEST_SERVERS") == "docker":
        raise Unavailable("a cluster is made from the programs on this machine, and TEST_SERVERS=docker")
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
            except Unavailable as reason:
                problems.append(str(reason))
                continue
            _note("; ".join([f"{name} from {provider.SOURCE}", *problems]))
            yield server
            return
    raise Unavailable("; ".join(problems))


def _providers(name: str) -> tuple[list[ModuleType], list[str]]:
    """Whom to ask, in this order, and why the usual first one is not."""
    match os.environ.get("TEST_SERVERS", "auto"):
        case "local":
            return [local], []
        case "docker":
            return [_containers()], []
        case "auto":
            containers = _containers()
            if (lacking := containers.missing(name)) is None:
                return [containers, local], []
            return [local, containers], [lacking]  # at last Docker again, which pulls the image where it can
        case other:
            raise Unavailable(f"TEST_SERVERS is {other!r}: give auto, docker or local")


def _containers() -> ModuleType:
    from events.testing.servers import containers  # half a second that TEST_SERVERS=local need not spend

    return containers


def _note(source: str) -> None:
    if source not in used:
        used.append(source)
