"""A server that one test run uses, and the ways in which a test can break it."""

import signal
from typing import Protocol

import psycopg
from kombu import Connection


class ServerStartError(Exception):
    """A failure to start a server for a test; the message says why."""


class Server(Protocol):
    """A private server: a program on this machine or a container. A restart keeps its URL and its data."""

    url: str

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `ServerStartError` with the end of its log."""

    def stop(self) -> None:
        """Stop the server by its normal shutdown."""

    def kill(self) -> None:
        """Send SIGKILL and wait until the server has ended."""

    def freeze(self) -> None:
        """Suspend the server and all its helpers: connections stay open, but it does not answer."""

    def thaw(self) -> None:
        """Resume the server after `freeze`."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program's process group or to the container's first process.

        Some helpers may not get it. `freeze` suspends all of them.
        """

    def ctl(self, *arguments: str) -> str:
        """Run the server's control program (rabbitmqctl) and return its output. Raises `CalledProcessError`."""


def postgres_answers(url: str) -> bool:
    """Return True if PostgreSQL accepts a connection. Raises psycopg's error otherwise."""
    with psycopg.connect(url, connect_timeout=2):
        return True


def rabbitmq_answers(url: str) -> bool:
    """Return True if RabbitMQ accepts a connection. Raises kombu's error otherwise."""
    with Connection(url, connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1)
    return True
