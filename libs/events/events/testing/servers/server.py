"""What a test may do to a server of its own, be it a program on this machine or a container."""

import signal
from typing import Protocol

import psycopg
from kombu import Connection


class Unavailable(Exception):  # noqa: N818 - what the server is
    """No way to get this server here."""


class Server(Protocol):
    """A server of one's own. Its URL stays the same over restarts, and so does what it has on disk."""

    url: str

    def start(self) -> None:
        """Start and wait until it answers. Raises `Unavailable` with the end of its log."""

    def stop(self) -> None:
        """End it in good order."""

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""

    def freeze(self) -> None:
        """Hold it with all its helpers; connections stay open and nothing answers."""

    def thaw(self) -> None:
        """Let it go on after `freeze`."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it."""

    def ctl(self, *arguments: str) -> str:
        """Run the server's control program (a broker's rabbitmqctl) on it; its output. Raises `CalledProcessError`."""


def postgres_answers(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=2):
        return True


def rabbitmq_answers(url: str) -> bool:
    with Connection(url, connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1)
    return True
